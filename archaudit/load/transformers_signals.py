"""Default inputs of transformers' models of sound, time series and trajectories."""

from __future__ import annotations

from archaudit.load.transformers_arguments import Arguments, constant, count_up, draw, find_entry, find_number, ones, zeros

_SECOND = 16_000  # samples of one second of speech, at the usual rate
_FRAMES = 1000  # ten seconds of a spectrogram with a frame for each 10 ms
_STEPS = 20  # of a trajectory: the episode length that decision transformers are trained with
# Kinds whose spectrograms are (bins, frames); others have (frames, bins).
_BINS_FIRST = ("whisper", "qwen2_audio", "voxtral", "audioflamingo3", "qwen2_5_omni", "glmasr", "clvp")
_CODECS = ("dac", "mimi", "xcodec", "encodec")
_BINS = (
    *("num_mel_bins", "input_feat_per_channel", "feature_projection_input_dim", "mel_bins", "input_feat_size", "input_size", "input_dim"),
    *("num_mel_channels", "mel_channels"),
)


def choose_signals(chosen: Arguments) -> None:
    """Chooses the arguments of sound, series and trajectories."""
    if "past_values" in chosen.names:
        _choose_series(chosen)
    if {"states", "actions", "returns_to_go"} <= chosen.names:
        _choose_trajectory(chosen)
    if chosen.is_needed("input_values"):
        _choose_waveform(chosen)
    if chosen.is_needed("input_features") or ("input_features" in chosen.names and chosen.audio is not chosen.configuration):
        _choose_spectrogram(chosen)


def _choose_waveform(chosen: Arguments) -> None:
    configuration = chosen.configuration
    frames, bins = find_number(configuration, "max_length"), find_number(configuration, "num_mel_bins")
    if frames and bins:
        chosen.makers["input_values"] = lambda: draw(1, frames, bins)
        chosen.parts.append(f"one spectrogram of {frames} frames of {bins} bins, the size in the configuration")
        return
    rate = find_number(configuration, "sampling_rate", "sample_rate")
    samples = rate or _SECOND
    channels = find_number(configuration, "audio_channels")
    codec = channels is not None or chosen.kind.startswith(_CODECS)
    chosen.makers["input_values"] = lambda: draw(1, channels or 1, samples) if codec else draw(1, samples)
    source = "at the rate in the configuration" if rate else "a default, since the configuration names no rate"
    chosen.parts.append(f"one second of sound, {samples:,} samples, {source}")


def _choose_spectrogram(chosen: Arguments) -> None:
    bins = find_number(chosen.audio, *_BINS) or 80
    positions = find_number(chosen.audio, "max_source_positions")
    named = positions is not None and positions <= 1500
    frames = 2 * positions if named and positions is not None else _FRAMES
    source = "the size in the configuration" if named else "a default length"
    if chosen.kind.startswith("clap"):  # an image of one channel; several with fused features of a longer sound
        channels = 4 if find_entry(chosen.audio, "enable_fusion") else 1
        side = find_number(chosen.audio, "spec_size") or 256
        frames = min(_FRAMES + 1, side * max(1, side // bins))  # the model folds them into a square of this side
        chosen.makers["input_features"] = lambda: draw(1, channels, frames, bins)
        if channels > 1:
            chosen.give("is_longer", lambda: constant([[True]]))
    elif chosen.kind.startswith(_BINS_FIRST):
        chosen.makers["input_features"] = lambda: draw(1, bins, frames)
    else:
        chosen.makers["input_features"] = lambda: draw(1, frames, bins)
    chosen.give("feature_attention_mask", lambda: ones(1, frames))
    chosen.give("input_features_mask", lambda: ones(1, frames).bool())
    chosen.parts.append(f"one spectrogram of {frames} frames of {bins} bins, {source}")


def _choose_series(chosen: Arguments) -> None:
    configuration, required = chosen.configuration, chosen.required
    named = find_number(configuration, "context_length")
    length = named or 512
    channels = find_number(configuration, "num_input_channels", "input_size") or 1
    if chosen.kind.startswith("timesfm"):
        if "past_values_padding" in required:
            chosen.makers["past_values"] = lambda: draw(1, length)
            chosen.makers["past_values_padding"] = lambda: zeros(1, length)
            chosen.give("freq", lambda: zeros(1, 1))
        else:
            chosen.makers["past_values"] = lambda: [draw(length)]
            chosen.give("freq", lambda: [constant([0])])
    elif "past_time_features" in required:
        length += max(find_entry(configuration, "lags_sequence") or [0])
        features = (find_number(configuration, "num_time_features") or 0) + (find_number(configuration, "num_dynamic_real_features") or 0)
        future = find_number(configuration, "prediction_length") or 24
        shape = (1, length) if channels == 1 else (1, length, channels)
        static = find_number(configuration, "num_static_categorical_features")
        chosen.makers["past_values"] = lambda: draw(*shape)
        chosen.makers["past_observed_mask"] = lambda: ones(*shape)
        chosen.makers["past_time_features"] = lambda: draw(1, length, features)
        chosen.makers["future_values"] = lambda: draw(1, future, *shape[2:])
        chosen.makers["future_time_features"] = lambda: draw(1, future, features)
        if static:
            chosen.makers["static_categorical_features"] = lambda: zeros(1, static)
    else:
        chosen.makers["past_values"] = lambda: draw(1, length, channels)
    source = "the length in the configuration" if named else "a default length"
    chosen.parts.append(f"one series of {length} values of {channels} channel{'' if channels == 1 else 's'}, {source}")


def _choose_trajectory(chosen: Arguments) -> None:
    states = find_number(chosen.configuration, "state_dim") or 17
    actions = find_number(chosen.configuration, "act_dim") or 4
    chosen.makers["states"] = lambda: draw(1, _STEPS, states)
    chosen.makers["actions"] = lambda: draw(1, _STEPS, actions)
    chosen.makers["returns_to_go"] = lambda: draw(1, _STEPS, 1)
    chosen.give("rewards", lambda: draw(1, _STEPS, 1))
    chosen.give("timesteps", lambda: count_up(_STEPS))
    chosen.give("attention_mask", lambda: ones(1, _STEPS))
    chosen.parts.append(f"a trajectory of {_STEPS} steps, a default length")
