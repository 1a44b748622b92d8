"""Finds which model a document means: names as documents write them against the names of a catalog.

`ResNet-50`, `resnet50` and `ResNet_50 (ours)*` are one name. A catalog's name also has the short forms that papers use: `ConvNeXt-T` is
`convnext_tiny`, `ViT-B/16` is `vit_base_patch16_224` or `vit_b_16`, `RegNetY-400MF` is `regnety_004`. A name decides alone: a figure never
chooses between models. A name that fits several models of a catalog, and no resolution says which, is ambiguous and gets none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Words that say how a model was trained or stored, not what it is.
_TRAINING = frozenset(
    (
        *("imagenet", "imagenet1k", "imagenet21k", "imagenet22k", "in1k", "in12k", "in21k", "in22k", "1k", "21k", "22k"),
        *("ssl", "swsl", "ssld", "usi", "3rdparty", "noema", "pre", "aa", "mae", "dist", "jsd", "advprop", "noisystudent", "ra"),
        *("ft", "finetuned", "pretrained", "pretrain", "fp16", "amp", "ema", "v0", "epochs", "epoch", "ep"),
        *("official", "ours", "our", "paper", "baseline", "reproduced", "torchvision", "timm", "model", "the", "instruct", "chat", "hf"),
    )
)
# The sizes that catalogs write out and documents abbreviate.
_SIZES = {
    "atto": ("a",),
    "femto": ("f",),
    "pico": ("p",),
    "nano": ("n",),
    "xxtiny": ("xxt",),
    "tiny": ("t", "ti"),
    "mini": ("mi",),
    "xxsmall": ("xxs",),
    "xsmall": ("xs",),
    "small": ("s",),
    "medium": ("m",),
    "base": ("b",),
    "large": ("l",),
    "xlarge": ("xl",),
    "xxlarge": ("xxl",),
    "huge": ("h",),
    "giant": ("g",),
}
_SPLIT_SIZE = re.compile(r"(?<![a-z0-9])(x{1,2})[_-](tiny|small|large)(?![a-z])")
_PARENTHESES = re.compile(r"\(([^()]*)\)|\[([^\[\]]*)\]")
_AT = re.compile(r"(?:@|↑)\s?(\d{2,4})(?:\s?(?:px|x|×)\s?\d*)?")
_PIXELS = re.compile(r"(?<!\d)(\d{2,4})px\b")
_RESOLUTION = re.compile(r"(?<!\d)(\d{2,4})\s?(?:[x×]\s?(\d{2,4}))?(?!\d)")
_TRAINING_CODE = re.compile(
    r"(?<![a-z0-9])(?:\d+xb\d+(?:-[a-z0-9-]*)?|rsb-\w+|\d+e|\d+ep|\d+ ?epochs?|in\d+k|imagenet-?\d*k?|cvpr|iccv)(?![a-z0-9])"
)
_MULTIPLIER = re.compile(r"(?<![\d.])(\d)\.(\d+)\s?[x×]|[x×](\d)[._](\d+)")
_TAG = re.compile(r"(\w+)\.(\w*(?:in\d+k|openai|laion|webli|lvd|dfn|metaclip|datacompxl|merged2b|untrained)\w*)", re.IGNORECASE)
_SIDE_AT_END = re.compile(r"[_-](128|160|192|224|256|288|320|384|448|512)\Z")
_NOT_KEY = re.compile(r"[^a-z0-9.]+")
_SMALLEST_RESOLUTION, _LARGEST_RESOLUTION = 32, 2048
_PREFIXES = (
    "timm-",
    "timm/",
    "tu-",
    "torchvision.models.",
    "torchvision/",
    "models.",
    "facebook/",
    "google/",
    "microsoft/",
    "openai-community/",
    "google-bert/",
    "google-t5/",
    "facebookai/",
    "distilbert/",
    "albert/",
    "eleutherai/",
    "bigscience/",
    "meta-llama/",
    "mistralai/",
    "qwen/",
    "openai/",
)


class Name(NamedTuple):
    """A name in a document: its key, without notes and the words of training, and the resolution that it states.

    `whole` is the key with the words of training, `text` the name as it is written, without a prefix.
    """

    key: str
    resolution: int | None = None
    whole: str = ""
    text: str = ""


class Entry(NamedTuple):
    """One model of a catalog: its own name, the reference that loads it, and the resolution in its name.

    `counts_operations` is false where a document that states no length of the input cannot state the operations; `input` is the side of
    the input that the name implies where a document states none.
    """

    name: str
    reference: str
    resolution: int | None = None
    counts_operations: bool = True
    input: int | None = None


class Resolved(NamedTuple):
    """What a name in a document means: the model, or why there is none (`unknown`, or `ambiguous: a, b`)."""

    entry: Entry | None
    resolution: int | None
    reason: str = ""


def read_name(text: str) -> Name:
    """The key of a name as a document writes it, and the resolution after `@` or an arrow."""
    found = _AT.search(text) or next(reversed(list(_PIXELS.finditer(text))), None)
    text = _PIXELS.sub(" ", _AT.sub(" ", text))
    written = _PARENTHESES.sub(_keep_qualifier, text).strip()
    for prefix in _PREFIXES:
        if written.casefold().startswith(prefix):
            written = written[len(prefix) :]
    text = written.casefold()
    return Name(make_key(_strip_training(text)), int(found[1]) if found else None, make_key(text), written)


def make_key(text: str) -> str:
    """The letters and digits of a name in lower case. A point stays between digits: `3.2GF` is not `32GF`."""
    text = _SPLIT_SIZE.sub(r"\1\2", text.casefold())
    text = _MULTIPLIER.sub(lambda found: "x" + (found[1] or found[3]) + "." + (found[2] or found[4]), text)
    text = re.sub(r"(\d)_(\d+)(?=gf)", r"\1.\2", text)
    return re.sub(r"(?<!\d)\.|\.(?!\d)", "", _NOT_KEY.sub("", text))


def _keep_qualifier(found: re.Match[str]) -> str:
    """A qualifier in brackets stays, such as `(isotropic)`; a year, a citation or a word of training goes."""
    inner = (found[1] or found[2] or "").casefold()
    words = [word for word in re.split(r"[^a-z0-9]+", inner) if word]
    if not words or all(word in _TRAINING or word.isdigit() or word == "et" or word == "al" for word in words):
        return " "
    return f" {inner} "


def _strip_training(text: str) -> str:
    """The name without the words that say how the model was trained."""
    text = _TRAINING_CODE.sub(" ", text)
    words = re.split(r"([\s_./,+-]+)", text)
    kept = [word for position, word in enumerate(words) if position % 2 or word not in _TRAINING or not word]
    return "".join(kept).strip(" _-./,+")


def parse_resolution(text: str) -> int | None:
    """The side of a square input: 384 for `384`, `384x384`, `384²` or `384 px`; None for anything else."""
    found = _RESOLUTION.search(text)
    if found is None or (found[2] and found[1] != found[2]):
        return None
    size = int(found[1])
    return size if _SMALLEST_RESOLUTION <= size <= _LARGEST_RESOLUTION else None


# --- the catalog ---


class Catalog:
    """The models of one library, folder or file by the names that documents use for them."""

    def __init__(
        self,
        references: Mapping[str, str],
        *,
        only_params: Iterable[str] = (),
        exact: Iterable[str] = (),
        inputs: Mapping[str, int] | None = None,
    ) -> None:
        """`only_params` are names of models whose operations a document cannot state; `exact` those that count only as written; `inputs`
        are the sides of inputs that names stand for."""
        sizes = inputs or {}
        self._exact = frozenset(exact)
        silent = frozenset(only_params)
        self.entries = [
            Entry(name, reference, _find_resolution(name), name not in silent, sizes.get(name)) for name, reference in references.items()
        ]
        # the whole name comes before the name without words of training, and that before short forms
        self._by_key: list[dict[str, list[Entry]]] = [defaultdict(list), defaultdict(list), defaultdict(list)]
        for entry in self.entries:
            whole, key = make_key(entry.name), make_key(_strip_training(entry.name.casefold()))
            self._by_key[0][whole].append(entry)
            if key != whole:
                self._by_key[1][key].append(entry)
            for form in set(_list_short_forms(entry.name)) - {whole, key}:
                self._by_key[2][form].append(entry)

    def find(self, name: Name, resolution: int | None = None) -> Resolved:
        """The model that a name means. The resolution, of the name or of its row, chooses between versions of one model."""
        resolution = name.resolution or resolution
        tries: list[tuple[dict[str, list[Entry]], str, int | None]] = [(self._by_key[0], name.whole, None)]
        if tag := _TAG.fullmatch(name.text):  # `resnet50.a1_in1k`: a model of timm with the name of its weights
            end = re.search(r"_(\d{3})$", tag[2])
            tries.append((self._by_key[0], make_key(tag[1]), int(end[1]) if end else None))
        tries += [(by_key, key, size) for by_key in self._by_key for key, size in _list_readings(name.key)]
        if side := _SIDE_AT_END.search(name.text):  # "mobilenet_v2_1.0_224"
            shorter = make_key(_strip_training(name.text[: side.start()].casefold()))
            tries += [(by_key, shorter, int(side[1])) for by_key in self._by_key]
        for by_key, key, size in tries:
            found = [entry for entry in by_key.get(key, ()) if entry.name not in self._exact or entry.name == name.text]
            if found:
                return _choose(found, size or resolution)
        return Resolved(None, resolution, "unknown")


def _list_readings(key: str) -> Iterable[tuple[str, int | None]]:
    """A key as it is, and without a resolution at its end."""
    yield key, None
    found = re.fullmatch(r"(.*[^\d.])(\d{3})", key)
    if found and int(found[2]) % 16 == 0:
        yield found[1], int(found[2])


def _choose(found: list[Entry], resolution: int | None) -> Resolved:
    """The entry of this resolution; else the one without a resolution in its name, or that of the smallest. Several of these are
    ambiguous."""
    candidates = [entry for entry in found if entry.resolution == resolution] if resolution is not None else []
    if not candidates:
        candidates = [entry for entry in found if entry.resolution is None]
    if not candidates:
        least = min(entry.resolution or 0 for entry in found)
        candidates = [entry for entry in found if entry.resolution == least]
    candidates = [entry for entry in candidates if not _ADAPTED.search(entry.name)] or candidates
    if len(candidates) > 1:  # ViT-B without a patch size is ViT-B/16, the version of the paper
        candidates = [entry for entry in candidates if _USUAL_PATCH.search(entry.name)] or candidates
    if len({entry.reference for entry in candidates}) == 1:
        return Resolved(candidates[0], resolution or candidates[0].input)
    return Resolved(None, resolution, "ambiguous: " + ", ".join(sorted(entry.name for entry in candidates)[:4]))


def _find_resolution(name: str) -> int | None:
    """The resolution in a catalog's name: `vit_base_patch16_384`, `swin_base_patch4_window12_384`."""
    sizes = [int(part) for part in re.split(r"[^0-9a-z]+|(?<=\d)to(?=\d)", name.casefold()) if part.isdigit() and len(part) == 3]
    sizes = [size for size in sizes if size % 16 == 0 and size >= 128]
    return (
        sizes[-1] if sizes and re.search(r"patch|window|_\d{3}$", name) and not re.match(r"(?:regnet|resnet|densenet|vgg)", name) else None
    )


# --- short forms of a catalog's names ---


_RESOLUTION_END = re.compile(r"_(?:\d{3}to)?(?:128|160|192|224|240|256|288|320|336|384|448|512)(?=$|_)")
_GENERAL = re.compile(r"_patch\d+|_window\d+(?:to\d+)?")
_ADAPTED = re.compile(r"\dto\d")  # trained at one size and adapted to another: the same layers as the version of that size
_USUAL_PATCH = re.compile(r"_patch16(?:_|$)")
_PATCH = re.compile(r"_patch(\d+)(?:_|$)")
# Families whose short form the rules below do not give.
_SPECIAL: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"resmlp_(\d+)"), r"resmlp_s\1"),
    (re.compile(r"resmlp_big_(\d+)"), r"resmlp_b\1"),
    (re.compile(r"(mobilenetv\d(?:_small|_large)?|mnasnet|ghostnet(?:v\d)?|efficientnet_es|tinynet|semnasnet|fbnetv?\d?\w*)_100"), r"\1"),
    (re.compile(r"(mobilenetv\d(?:_small|_large)?|mnasnet|ghostnet(?:v\d)?|semnasnet)_(\d)(\d)0"), r"\1_x\2.\3"),
    (re.compile(r"(mobilenetv\d(?:_small|_large)?|mnasnet|ghostnet(?:v\d)?|semnasnet)_(\d)(\d)0"), r"\1_\2.\3"),
    (re.compile(r"(mobilenetv\d(?:_small|_large)?|mnasnet|ghostnet(?:v\d)?|semnasnet)_(\d)(\d[1-9])"), r"\1_\2.\3"),
    (re.compile(r"(mobilenetv\d(?:_small|_large)?|mnasnet|ghostnet(?:v\d)?|semnasnet)_(\d)(\d[1-9])"), r"\1_x\2.\3"),
    (re.compile(r"(shufflenet_v2|mnasnet)_?x?(\d)_(\d)"), r"\1_x\2.\3"),
    (re.compile(r"tf_(efficientnet\w+)"), r"\1"),
    (re.compile(r"deit3_(\w+)"), r"deit_iii_\1"),
    (re.compile(r"resnest(\d+)d"), r"resnest\1"),
    (re.compile(r"densenet(121|169|201)\Z"), r"densenet\1_k_32"),  # the growth rates of the paper
    (re.compile(r"densenet161\Z"), r"densenet161_k_48"),
    (re.compile(r"xcit_(\w)\w+_(\d+)_p(\d+)(_224)\Z"), r"xcit_\1\2_\3\4"),
    (re.compile(r"xcit_(\w)\w+_(\d+)_p(\d+)(_384)\Z"), r"xcit_\1\2_\3\4"),
    (re.compile(r"efficientnet_([bl]\d)"), r"effnet_\1"),
    (re.compile(r"(cait_\w+?)(_\d{3})"), r"\1_distilled\2"),  # all of them are
    (re.compile(r"mixer_b(\d+)"), r"mlp_mixer_base_p\1"),
    (re.compile(r"mixer_l(\d+)"), r"mlp_mixer_large_p\1"),
    (re.compile(r"mixer_([bls])(\d+)"), r"mlp_mixer_\1\2"),
    (re.compile(r"(res2net\d+)_(\d+)w_(\d+)s"), r"\1_w\2_s\3"),
    (re.compile(r"(wide_resnet\d+)_2"), r"\1"),
    (re.compile(r"wide_resnet(\d+)_(\d)"), r"wrn_\1_\2"),
)
_REGNET = re.compile(r"regnet_?([xyvz])_?(\d{3})\Z")


def _list_short_forms(name: str) -> Iterable[str]:
    """The keys of the other forms in which documents write a catalog's name."""
    lowered = _SPLIT_SIZE.sub(r"\1\2", name.casefold().partition(".")[0])
    forms = {lowered}
    if found := _REGNET.match(lowered):
        forms |= {f"regnet{found[1]}{flops}" for flops in _format_regnet(int(found[2]))}
    for pattern, replacement in _SPECIAL:
        forms |= {pattern.sub(replacement, form, count=1) for form in list(forms) if pattern.match(form)}
    forms |= {re.sub(r"_window\d+to(\d+)", r"_window\1", form) for form in list(forms)}
    for form in list(forms):
        short = _RESOLUTION_END.sub("", form)
        plain = _GENERAL.sub("", short)
        forms |= {short, plain}
        if (patch := _PATCH.search(short)) and re.match(r"(?:vit|deit3?|beit|cait|xcit|mixer|eva|flexivit|clip)", short):
            forms |= {f"{plain}_{patch[1]}", f"{plain}_p{patch[1]}"}
    forms |= {re.sub(r"_window(\d+)", r"_w\1", form) for form in list(forms)}
    for form in list(forms):
        for size, letters in _SIZES.items():
            if re.search(rf"(?<![a-z]){size}(?![a-z])", form):
                forms |= {re.sub(rf"(?<![a-z]){size}(?![a-z])", letter, form) for letter in letters}
    if found := re.fullmatch(r"(regnet_[xy])_(\d+)gf", lowered):
        forms.add(f"{found[1]}_{found[2]}.0gf")
    for form in list(forms):
        for size, letters in _SIZES.items():
            forms |= {re.sub(rf"(?<=_){letter}(?=_|$)", size, form) for letter in letters if re.search(rf"_{letter}(?=_|$)", form)}
    for form in list(forms):
        if "distilled" in form:  # the resolution follows in documents: "DeiT-base distilled 384"
            forms.add(form.replace("_distilled", "") + "_distilled")
    return {make_key(form) for form in forms}


def _format_regnet(hundreds_of_mflops: int) -> tuple[str, ...]:
    """A RegNet's size in the forms of papers: 4 is 400MF, 32 is 3.2GF, 80 is 8GF and 8.0GF."""
    if hundreds_of_mflops < 10:
        return (f"_{hundreds_of_mflops * 100}mf", f"_{hundreds_of_mflops * 100}m")
    whole, tenth = divmod(hundreds_of_mflops, 10)
    forms = (f"{whole}.{tenth}gf", *((f"{whole}gf",) if not tenth else ()))
    return (*forms, *(form.removesuffix("f") for form in forms))
