"""The context of a number in change notes: the words near it, the metric and the modules that they name, and the side."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from archaudit.claims.columns import find_side
from archaudit.claims.drafting.facts import Scope, list_identifiers, list_words
from archaudit.claims.numbers import find_noun
from archaudit.schema.documents import Document, Number

# The words for each metric.
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


# Words for numbers that archaudit does not measure.
UNMEASURED_WORDS = _words("""
    accuracy acc acc@1 acc@5 top-1 top-5 top1 top5 miou iou map ap auc f1 psnr ssim bleu rouge perplexity ppl loss score dice recall
    precision error training epoch epochs step steps iteration iterations iters learning lr decay momentum warmup batch batches optimizer
    gpu gpus cpu cpus core cores thread threads worker workers memory vram ram time latency throughput speed speedup faster slower fps
    year years day days week weeks hour hours minutes seconds images samples seed seeds run runs percentile
    point points user users people commit commits line lines page pages issue issues pr bug bugs version dollars cost
""")

# Words after a number that do not say what it counts.
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


# By word: the metrics that it can mean.
TOPICS = _invert(METRIC_WORDS)

# Words of a sentence about a reduction, which is a reduction of parameters if nothing else is named.
REDUCTION_WORDS = _words("""
    reduction reductions reduces reduced reduce fewer less smaller lighter cut cuts saves saved saving savings compression compressed
    shrinks shrank shrunk slimmer
""")


# --- the sentences of a document, across line breaks ---


_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)[.!?](?=\s|\Z)")
_MAX_DISTANCE = 400  # characters on each side of a number; text further away is not about it
_LINE = re.compile(r"\r\n|\n|\r")


class Sentence(NamedTuple):
    """A sentence with spaces for line breaks, and the positions at which a number in it begins and ends."""

    text: str
    start: int
    end: int

    @property
    def before(self) -> str:
        """The text before the number."""
        return self.text[: self.start].rstrip()

    @property
    def after(self) -> str:
        """The text after the number."""
        return self.text[self.end :]

    @property
    def clause(self) -> str:
        """The part between semicolons that has the number."""
        last = self.text.find(";", self.end)
        return self.text[self.text.rfind(";", 0, self.start) + 1 : last if last >= 0 else len(self.text)]


class Sentences:
    """Finds the sentences of a document's numbers: in text, a sentence of the paragraph; in tables and code, a sentence of the line."""

    def __init__(self, document: Document) -> None:
        self.lines = _LINE.split(document.text)
        self._paragraphs: dict[int, tuple[str, int]] = {}  # by line: the paragraph's text, and the position at which the line begins
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
        """The sentence that contains a number."""
        text, position = self._paragraphs.get(number.line, (self.lines[number.line - 1], 0))
        start = position + number.column - 1
        end = start + len(number.text)
        if text not in self._ends:
            self._ends[text] = [0, *(match.end() for match in _END.finditer(text))]
        ends = self._ends[text]
        first = max(ends[bisect_right(ends, start) - 1], start - _MAX_DISTANCE)
        following = bisect_right(ends, end - 1)
        last = min(ends[following] if following < len(ends) else len(text), end + _MAX_DISTANCE)
        return Sentence(text[first:last], start - first, end - first)


# --- the context of a number: the metric, the modules and the side that the text names ---


UNMEASURED = "unmeasured"  # the topic of a number that archaudit does not measure

_PLAIN_TOPICS = frozenset(("params", "macs", "flops"))
_WAS = re.compile(r"(?:\binstead of|\b(?:down|up) from|\bpreviously|\bformerly|\bused to be|\bwas|\bwere)\s*\Z", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?:self\.)?([A-Za-z_]\w*)\s*=(?!=)|class\s+(\w+)")
_MAX_CODE_LINES = 12  # lines of a code block above a comment, in which the name that it is about is searched
_MAX_SIDE_LINES = 60  # lines above a number, in which its side is searched
_LONGEST_SIDE_LINE = 60  # characters; a longer line above is a sentence of its own and names no side for the number

_WHOLE = re.compile(r"\b(?:in all|total|overall|model|network|altogether)\b", re.IGNORECASE)
_TOPIC_WORD = re.compile(r"[^\W\d_][\w-]*(?:@\d+)?")
_PART_END = re.compile(r"[,():|]|\b(?:and|while|but|with|at|in)\b")
_SEPARATOR_DISTANCE = 14  # characters of distance that a comma between a number and a topic adds


class Context(NamedTuple):
    """The text near a number.

    `near` are the words of its sentence, row and column, `identifiers` its identifiers as written, and `far` the words of its section.
    `topics` are the metrics that the nearest topic can mean, with UNMEASURED if it is not a metric; they are empty if there is no topic.
    `top_words` are the words in the names of top-level modules: near one of them, a number is rarely about the whole model. `named` are
    the words near the number that are in names of modules, `has_path` is true if a module is named by a path that is not a common word, and
    `is_whole` if the whole model is named. `side` is `before`, `after` or empty.
    """

    near: frozenset[str]
    identifiers: frozenset[str]
    far: frozenset[str]
    topics: frozenset[str]
    top_words: frozenset[str]
    named: frozenset[str]
    has_path: bool
    is_whole: bool
    side: str
    sentence: Sentence


class Contexts:
    """Finds the contexts of a document's numbers; `scopes` are the scopes that they can be about."""

    def __init__(self, document: Document, scopes: Iterable[Scope]) -> None:
        self._sentences = Sentences(document)
        self._lines = self._sentences.lines
        self._top_words, self._parts, self._names, self._paths = set[str](), set[str](), set[str](), set[str]()
        for scope in scopes:
            self._paths.update(name for name in scope.names if not name.isalpha())
            self._parts |= scope.parts
            self._names |= scope.parts | scope.type_words
            if "." not in scope.path:
                self._top_words |= scope.parts
        self._on_line: dict[int, list[Number]] = defaultdict(list)
        for number in document.numbers:
            self._on_line[number.line].append(number)

    def read(self, number: Number) -> Context:
        """The context of one number."""
        sentence = self._sentences.find(number)
        if number.run.place == "table":
            clause, topics = f"{number.row_heading} {number.heading}", _read_heading_topics(number)
        else:
            clause = self._find_clause(sentence)
            topics = _find_topics(sentence, number, self._list_taken(number, sentence))
        near = list_words(clause)
        assigned = self._find_assigned(number, near)
        identifiers = list_identifiers(clause)
        return Context(
            near=near | list_words(assigned),
            identifiers=identifiers,
            far=list_words(number.run.section),
            topics=topics,
            top_words=frozenset(self._top_words),
            named=near & self._parts,
            has_path=bool(identifiers & self._paths),
            is_whole=_WHOLE.search(clause) is not None,
            side=_find_role(number, sentence) or self._find_side(number),
            sentence=sentence,
        )

    def _find_clause(self, sentence: Sentence) -> str:
        """The clause of a number, or its sentence if the clause names neither a module nor the model."""
        clause = sentence.clause
        return clause if list_words(clause) & self._names or _WHOLE.search(clause) else sentence.text

    def _list_taken(self, number: Number, sentence: Sentence) -> list[tuple[int, int]]:
        """The spans of the sentence that belong to other numbers on the line and their nouns."""
        taken = []
        for other in self._on_line[number.line]:
            if other != number:
                first = sentence.start + other.column - number.column
                noun = sentence.text.find(other.noun, first) if other.noun and first >= 0 else -1
                taken.append((first, noun + len(other.noun.split(" ")[0]) if noun >= 0 else first + len(other.text)))
        return taken

    def _find_assigned(self, number: Number, near: frozenset[str]) -> str:
        """For a comment that names no module: the name that the code above assigns or defines."""
        if number.run.place != "comment" or near & self._names - {"conv2d", "params"}:
            return ""
        for text in reversed(self._lines[max(0, number.line - 1 - _MAX_CODE_LINES) : number.line - 1]):
            if text.lstrip().startswith("```"):
                break
            if found := _ASSIGNED.search(text):
                return found[1] or found[2]
        return ""

    def _find_side(self, number: Number) -> str:
        """The side in the heading of the column or row, else the last one on the line before the number or in the lines above, up to the
        heading of the section."""
        for heading in (number.heading, number.row_heading):
            if side := find_side(heading):
                return side
        for position in range(number.line - 1, max(-1, number.line - _MAX_SIDE_LINES), -1):
            text = self._lines[position] if position != number.line - 1 else self._lines[position][: number.column - 1]
            if position != number.line - 1 and (len(text) > _LONGEST_SIDE_LINE or text.lstrip().startswith(("#", "x ", "self", "def"))):
                if text.startswith("## "):
                    return ""
                continue
            if side := find_side(text):
                return side
        return ""


def _find_role(number: Number, sentence: Sentence) -> str:
    """The side that an arrow or the words next to a number name: "3 instead of 4", "7M before and 2M after"."""
    if number.role:
        return number.role
    if marked := re.match(r"[\s*_)]*(before|after)\b", sentence.after, re.IGNORECASE):
        return marked[1].casefold()
    return "before" if _WAS.search(sentence.before) else ""


def _read_heading_topics(number: Number) -> frozenset[str]:
    """The topics in the heading of a number's row, else of its column."""
    for heading in (number.row_heading, number.heading, number.unit):
        found = [topics for word in _TOPIC_WORD.finditer(heading) if (topics := _classify(word[0]))]
        if found:
            plain = [topics for topics in found if topics & _PLAIN_TOPICS]  # "GMACs of a batch" are GMACs, "batch size" is not a metric
            return plain[0] if plain else next((topics for topics in found if UNMEASURED in topics), found[0])
    return frozenset()


def _find_topics(sentence: Sentence, number: Number, taken: Sequence[tuple[int, int]]) -> frozenset[str]:
    """The topics of the number's noun; else of the nearest word that does not belong to another number; else of all these words.

    A number without a unit before an unknown noun counts something that archaudit does not measure.
    """
    words = [word.casefold() for word in find_noun(sentence.after).split()]
    if named := [topics for word in words if (topics := _classify(word))]:
        return frozenset.intersection(*named) or named[-1]  # "128 output channels"
    if words and number.reading.strip()[-1:].isdigit() and words[0] not in EMPTY_NOUNS and sentence.after.startswith(" "):
        return frozenset((UNMEASURED,))
    free: list[tuple[int, frozenset[str]]] = []
    others: list[tuple[int, frozenset[str]]] = []
    for word in _TOPIC_WORD.finditer(sentence.text):
        if not (topics := _classify(word[0])):
            continue
        gap = sentence.text[sentence.end : word.start()] if word.start() >= sentence.end else sentence.text[word.end() : sentence.start]
        if any(first <= word.start() < last for first, last in taken):
            others.append((word.start(), topics))
        else:
            free.append((len(gap) + _SEPARATOR_DISTANCE * len(_PART_END.findall(gap)), topics))
    if _WAS.search(sentence.before) and (earlier := [topics for position, topics in others if position < sentence.start]):
        return earlier[-1]  # "3 branches instead of 4"
    if free:
        return min(free, key=lambda each: each[0])[1]
    return frozenset(topic for _, topics in others for topic in topics)  # "11.7M params and 1.8 GMACs, then 21.8M"


def _classify(word: str) -> frozenset[str]:
    text = word.casefold()
    return frozenset((UNMEASURED,)) if text in UNMEASURED_WORDS else TOPICS.get(text, frozenset())
