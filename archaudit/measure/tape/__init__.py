"""What a model does while it runs: every operator with its module, how data flows, and how much memory is live."""

from archaudit.measure.tape.recording import Tape, TapeEntry, TapeMode, TapeRecorder, plain_paths, record_tape

__all__ = ["Tape", "TapeEntry", "TapeMode", "TapeRecorder", "plain_paths", "record_tape"]
