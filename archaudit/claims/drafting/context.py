"""The words of change notes: what metrics are called, what else is counted in them, and what says nothing."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from archaudit.claims.drafting.facts import Place, identifiers_of, words_of
from archaudit.claims.numbers import find_noun
from archaudit.schema.documents import Document, Number

# What people call a metric.
METRIC_WORDS = {
    "params": frozenset(("params", "param", "parameters", "parameter", "weights")),
    "macs": frozenset(("macs", "gmacs", "mmacs", "mult-adds", "multiply-adds", "multiply-accumulates")),
    "flops": frozenset(("flops", "gflops", "mflops")),
    "param_bytes": frozenset(("mb", "mib", "gb", "kb", "bytes", "checkpoint", "download")),
    "setting:in_channels": frozenset(("channels", "channel", "input", "inputs", "ch", "width")),
    "setting:out_channels": frozenset(("channels", "channel", "output", "outputs", "ch", "width", "filters")),
    "setting:num_features": frozenset(("channels", "channel", "ch", "width")),
    "setting:in_features": frozenset(("features", "inputs", "input", "width", "units")),
    "setting:out_features": frozenset(("features", "outputs", "output", "classes", "width", "units")),
    "setting:embed_dim": frozenset(("dim", "dimension", "dimensions", "embedding", "width")),
    "setting:p": frozenset(("dropout", "rate", "probability")),
    "setting:groups": frozenset(("groups",)),
    "setting:kernel_size": frozenset(("kernel", "kernels")),
    "setting:num_heads": frozenset(("heads",)),
    "children": frozenset(("branches", "branch", "stages", "blocks", "layers", "children")),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What is counted in change notes and not measured here.
FOREIGN_WORDS = _words("""
    accuracy acc acc@1 acc@5 top-1 top-5 top1 top5 miou iou map ap auc f1 psnr ssim bleu rouge perplexity ppl loss score dice recall
    precision error training epoch epochs step steps iteration iterations iters learning lr decay momentum warmup batch batches optimizer
    gpu gpus cpu cpus core cores thread threads worker workers memory vram ram time latency throughput speed speedup faster slower fps
    year years day days week weeks hour hours minutes seconds images samples seed seeds run runs percentile
    point points user users people commit commits line lines page pages issue issues pr bug bugs version dollars cost
""")

# Words behind a number that do not say what it counts.
EMPTY_NOUNS = _words("""
    and or to from in of on at by for with the a an is are was were be has have had it its this that these than then as so not only just
    while but before after now old new instead each per both total overall less more fewer lower higher smaller larger bigger reduction
    reductions compression through via against vs versus between still again already here there today
""")


def _invert(words: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    topics: dict[str, frozenset[str]] = {}
    for metric, names in words.items():
        for name in names:
            topics[name] = topics.get(name, frozenset()) | {metric}
    return topics


# By word: the metrics that it may mean.
TOPICS = _invert(METRIC_WORDS)

# Words of a sentence about less of something, which is of parameters where nothing else is named.
LESSENING = _words("""
    reduction reductions reduces reduced reduce fewer less smaller lighter cut cuts saves saved saving savings compression compressed
    shrinks shrank shrunk slimmer
""")


# --- the sentences of a document, across its line breaks: what belongs together when something is said of a number ---


_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)[.!?](?=\s|\Z)")
_FARTHEST = 400  # characters on either side of a number: what goes on for longer says nothing of it
_LINE = re.compile(r"\r\n|\n|\r")


class Sentence(NamedTuple):
    """A sentence, its line breaks blanked, and where in it a number begins and ends."""

    text: str
    start: int
    end: int

    @property
    def before(self) -> str:
        """What is said of it before the number."""
        return self.text[: self.start].rstrip()

    @property
    def behind(self) -> str:
        """What is said of it behind the number."""
        return self.text[self.end :]

    @property
    def clause(self) -> str:
        """What of it stands between the same semicolons as the number."""
        last = self.text.find(";", self.end)
        return self.text[self.text.rfind(";", 0, self.start) + 1 : last if last >= 0 else len(self.text)]


class Sentences:
    """Finds the sentences of a document's numbers: in prose those of the whole paragraph, elsewhere those of the line."""

    def __init__(self, document: Document) -> None:
        self.lines = _LINE.split(document.text)
        self._paragraphs: dict[int, tuple[str, int]] = {}  # by line: the paragraph's text, and where in it the line begins
        self._ends: dict[str, list[int]] = {}
        lines: dict[int, dict[int, str]] = defaultdict(dict)
        for run in document.runs:
            if run.place == "text":
                lines[run.block][run.line] = run.whole
        for paragraph in lines.values():
            text = " ".join(paragraph.values())
            position = 0
            for line, whole in paragraph.items():
                self._paragraphs[line] = text, position
                position += len(whole) + 1

    def find(self, number: Number) -> Sentence:
        """The sentence that a number stands in."""
        text, position = self._paragraphs.get(number.line, (self.lines[number.line - 1], 0))
        start = position + number.column - 1
        end = start + len(number.text)
        if text not in self._ends:
            self._ends[text] = [0, *(match.end() for match in _END.finditer(text))]
        ends = self._ends[text]
        first = max(ends[bisect_right(ends, start) - 1], start - _FARTHEST)
        following = bisect_right(ends, end - 1)
        last = min(ends[following] if following < len(ends) else len(text), end + _FARTHEST)
        return Sentence(text[first:last], start - first, end - first)


# --- what the text around a number says of it: what is counted, the modules that are named, the side that is meant ---


FOREIGN = "foreign"  # the topic of a number that is about nothing that is measured

_PLAIN_TOPICS = frozenset(("params", "macs", "flops"))
_MARKER = re.compile(r"\b(before|old|original|baseline|after|new|now|updated)\b", re.IGNORECASE)
_AFTER_WORDS = ("after", "new", "now", "updated")
_WAS = re.compile(r"(?:\binstead of|\b(?:down|up) from|\bpreviously|\bformerly|\bused to be|\bwas|\bwere)\s*\Z", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?:self\.)?([A-Za-z_]\w*)\s*=(?!=)|class\s+(\w+)")
_LOOK_BACK = 12  # lines of a code block in which the name that a comment is about may stand
_FARTHEST_SIDE = 60  # lines above in which the side may be named

_WHOLE = re.compile(r"\b(?:in all|total|overall|model|network|altogether)\b", re.IGNORECASE)
_TOPIC_WORD = re.compile(r"[^\W\d_][\w-]*(?:@\d+)?")
_PART_END = re.compile(r"[,():|]|\b(?:and|while|but|with|at|in)\b")
_ACROSS_A_PART = 14  # what a comma between a number and a topic counts for, in characters


class Context(NamedTuple):
    """What is said around a number.

    `near` are the words of its sentence, row and column, `identifiers` the same whole, `far` the words of its section; `topics` the metrics
    that the nearest topic may mean, FOREIGN among them where none is meant, and empty where nothing is said; `strangers` the words of
    modules' names, in whose company the whole model is hardly meant; `named` those of all modules' names, `has_path` whether a module is
    named by a path that is no plain word, `is_whole` whether the whole model is; `side` is `before`, `after` or empty.
    """

    near: frozenset[str]
    identifiers: frozenset[str]
    far: frozenset[str]
    topics: frozenset[str]
    strangers: frozenset[str]
    named: frozenset[str]
    has_path: bool
    is_whole: bool
    side: str
    sentence: Sentence


class Contexts:
    """Reads the contexts of a document's numbers; `places` are what they may be about."""

    def __init__(self, document: Document, places: Iterable[Place]) -> None:
        self._sentences = Sentences(document)
        self._lines = self._sentences.lines
        self._strangers, self._parts, self._names, self._paths = set[str](), set[str](), set[str](), set[str]()
        for place in places:
            self._paths.update(name for name in place.names if not name.isalpha())
            self._parts |= place.parts
            self._names |= place.parts | place.kinds
            if "." not in place.path:
                self._strangers |= place.parts
        self._on_line: dict[int, list[Number]] = defaultdict(list)
        for number in document.numbers:
            self._on_line[number.line].append(number)

    def read(self, number: Number) -> Context:
        """What is said around one number."""
        sentence = self._sentences.find(number)
        if number.run.place == "table":
            clause, topics = f"{number.row_heading} {number.heading}", _read_head_topics(number)
        else:
            clause = self._find_clause(sentence)
            topics = _find_topics(sentence, number, self._list_taken(number, sentence))
        near = words_of(clause)
        assigned = self._find_assigned(number, near)
        identifiers = identifiers_of(clause)
        return Context(
            near=near | words_of(assigned),
            identifiers=identifiers,
            far=words_of(number.run.section),
            topics=topics,
            strangers=frozenset(self._strangers),
            named=near & self._parts,
            has_path=bool(identifiers & self._paths),
            is_whole=_WHOLE.search(clause) is not None,
            side=_find_role(number, sentence) or self._find_side(number),
            sentence=sentence,
        )

    def _find_clause(self, sentence: Sentence) -> str:
        """What of a sentence says what a number is of: its clause, or all of it where that names no module and not the model."""
        clause = sentence.clause
        return clause if words_of(clause) & self._names or _WHOLE.search(clause) else sentence.text

    def _list_taken(self, number: Number, sentence: Sentence) -> list[tuple[int, int]]:
        """The spans of the sentence that other numbers on the line, and their nouns, take up."""
        taken = []
        for other in self._on_line[number.line]:
            if other != number:
                first = sentence.start + other.column - number.column
                noun = sentence.text.find(other.noun, first) if other.noun and first >= 0 else -1
                taken.append((first, noun + len(other.noun.split(" ")[0]) if noun >= 0 else first + len(other.text)))
        return taken

    def _find_assigned(self, number: Number, near: frozenset[str]) -> str:
        """For a comment that names no module: the name that the code above it assigns to or defines."""
        if number.run.place != "comment" or near & self._names - {"conv2d", "params"}:
            return ""
        for text in reversed(self._lines[max(0, number.line - 1 - _LOOK_BACK) : number.line - 1]):
            if text.lstrip().startswith("```"):
                break
            if found := _ASSIGNED.search(text):
                return found[1] or found[2]
        return ""

    def _find_side(self, number: Number) -> str:
        """The side that was named last: by the head of the column or row, on the line before the number, or in the lines above it up to its
        section's heading."""
        for heading in (number.heading, number.row_heading):
            if headed := side_of(heading):
                return headed
        for position in range(number.line - 1, max(-1, number.line - _FARTHEST_SIDE), -1):
            text = self._lines[position] if position != number.line - 1 else self._lines[position][: number.column - 1]
            if position != number.line - 1 and (len(text) > 60 or text.lstrip().startswith(("#", "x ", "self", "def"))):
                if text.startswith("## "):
                    return ""
                continue
            if found := side_of(text):
                return found
        return ""


def _find_role(number: Number, sentence: Sentence) -> str:
    """The side that the words around a number name, as an arrow does: "3 instead of 4", "7M before and 2M after"."""
    if number.role:
        return number.role
    if marked := re.match(r"[\s*_)]*(before|after)\b", sentence.behind, re.IGNORECASE):
        return marked[1].casefold()
    return "before" if _WAS.search(sentence.before) else ""


def side_of(heading: str) -> str:
    """The side that a heading names last, empty where it names none."""
    marked = _MARKER.findall(heading)
    return "" if not marked else "after" if marked[-1].casefold() in _AFTER_WORDS else "before"


def _read_head_topics(number: Number) -> frozenset[str]:
    """What the head of a number's row or column says it counts: the row's where both say something."""
    for heading in (number.row_heading, number.heading, number.unit):
        found = [topics for word in _TOPIC_WORD.finditer(heading) if (topics := _classify(word[0]))]
        if found:
            plain = [topics for topics in found if topics & _PLAIN_TOPICS]  # "GMACs of a batch" are GMACs, "batch size" is no size
            return plain[0] if plain else next((topics for topics in found if FOREIGN in topics), found[0])
    return frozenset()


def _find_topics(sentence: Sentence, number: Number, taken: Sequence[tuple[int, int]]) -> frozenset[str]:
    """What the number's noun says it counts; else what the nearest word says that is not another number's; else all that those say.

    A bare number of things that are unknown here counts those things.
    """
    words = [word.casefold() for word in find_noun(sentence.behind).split()]
    if named := [topics for word in words if (topics := _classify(word))]:
        return frozenset.intersection(*named) or named[-1]  # "128 output channels"
    if words and number.text.strip()[-1:].isdigit() and words[0] not in EMPTY_NOUNS and sentence.behind.startswith(" "):
        return frozenset((FOREIGN,))
    free: list[tuple[int, frozenset[str]]] = []
    others: list[tuple[int, frozenset[str]]] = []
    for word in _TOPIC_WORD.finditer(sentence.text):
        if not (topics := _classify(word[0])):
            continue
        gap = sentence.text[sentence.end : word.start()] if word.start() >= sentence.end else sentence.text[word.end() : sentence.start]
        if any(first <= word.start() < last for first, last in taken):
            others.append((word.start(), topics))
        else:
            free.append((len(gap) + _ACROSS_A_PART * len(_PART_END.findall(gap)), topics))
    if _WAS.search(sentence.before) and (earlier := [topics for position, topics in others if position < sentence.start]):
        return earlier[-1]  # "3 branches instead of 4"
    if free:
        return min(free, key=lambda each: each[0])[1]
    return frozenset(topic for _, topics in others for topic in topics)  # "11.7M params and 1.8 GMACs, then 21.8M"


def _classify(word: str) -> frozenset[str]:
    text = word.casefold()
    return frozenset((FOREIGN,)) if text in FOREIGN_WORDS else TOPICS.get(text, frozenset())
