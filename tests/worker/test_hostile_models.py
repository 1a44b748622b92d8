"""Whatever a model raises, returns or is named, the result is a profile that can be rendered, or a message: no traceback, no hang."""

import random

import pytest

from archaudit.errors import ArchauditError
from archaudit.render import PROFILE_FORMATS, render_profile_text
from archaudit.schema import decode_profile, encode

MODELS = r"""
import asyncio, dataclasses
import torch
from torch import nn


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__


class Worse(BaseException):
    def __str__(self):
        raise SystemExit(0)


class Named(Exception):
    pass


Named.__name__ = "Na\nmed::error::"


class Slotless(tuple):
    def __iter__(self):
        raise Odd
    def __len__(self):
        raise Odd


class Endless(list):
    def __iter__(self):
        while True:
            yield 1


@dataclasses.dataclass
class Fields:
    one: torch.Tensor
    @property
    def two(self):
        raise Odd


def recurse():
    return recurse()


ERRORS = {
    "odd": Odd, "worse": Worse, "named": Named, "base": lambda: BaseException("base"), "keyboard": KeyboardInterrupt,
    "generator": GeneratorExit, "exit": lambda: SystemExit(0), "stop": lambda: StopIteration(1), "recursion": RecursionError,
    "memory": MemoryError, "surrogate": lambda: ValueError("\udc80"), "cancelled": asyncio.CancelledError,
    "long": lambda: ValueError("x" * 10**6),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "\udc80"), "group": lambda: BaseExceptionGroup("g", [Odd(), Worse()]),
    "newline": lambda: ValueError("a\n::error::b\x1b[31m"), "key": lambda: KeyError("\udc80"), "os": lambda: OSError(28, "full"),
}
WHERE = (
    "init forward repr extra_repr getattr named_parameters named_modules children parameters state_dict hook pre_hook delete call eval "
    "train apply deepcopy signature settings"
).split()


def fail(kind):
    if kind == "deep":
        recurse()
    raise ERRORS[kind]()


class Raises(nn.Module):
    def __init__(self, where, what):
        super().__init__()
        self.where, self.what = where, what
        self.layer = nn.Linear(4, 4)
        if where == "hook":
            self.layer.register_forward_hook(lambda *args: fail(what))
        if where == "pre_hook":
            self.layer.register_forward_pre_hook(lambda *args: fail(what))
        if where == "settings":
            self.setting = Slotless((1, 2))
            self.other = Endless()
        self.check("init")

    def check(self, where):
        if self.__dict__.get("where") == where:
            fail(self.__dict__["what"])

    def forward(self, x):
        self.check("forward")
        return self.layer(x)

    def __repr__(self):
        self.check("repr")
        return "net"

    def __getattr__(self, name):
        if name not in ("layer", "where", "what"):
            self.check("getattr")
        return super().__getattr__(name)

    def __del__(self):
        self.check("delete")

    def __call__(self, *args):
        self.check("call")
        return super().__call__(*args)

    def __deepcopy__(self, memo):
        self.check("deepcopy")
        raise TypeError("no copies")


def make_method(name):
    def method(self, *args, **kwargs):
        self.check(name)
        return getattr(nn.Module, name)(self, *args, **kwargs)
    return method


for name in ("extra_repr", "named_parameters", "named_modules", "children", "parameters", "state_dict", "eval", "train", "apply"):
    setattr(Raises, name, make_method(name))


def own_list(y):
    found = [y]
    found += [found, found]
    return found


OUTPUTS = {
    "none": lambda y: None, "text": lambda y: "\udc80", "self": own_list, "empty": lambda y: [], "object": lambda y: object(),
    "raising": lambda y: Slotless((y,)), "fields": lambda y: Fields(y), "generator": lambda y: (y for _ in range(3)),
    "keys": lambda y: {1: y, None: y, "\udc80": y, (1, 2): y}, "nested": lambda y: [[[[[[[[[[[[[[[[[[[[y]]]]]]]]]]]]]]]]]]]],
    "class": lambda y: nn.Linear, "module": lambda y: nn.Linear(2, 2), "nan": lambda y: float("nan"),
    "numpy": lambda y: __import__("numpy").ones(3),
    "endless": lambda y: Endless([y]), "many": lambda y: [y] * 2_000_000, "thousand": lambda y: [y] * 1000, "type": lambda y: int,
    "coroutine": lambda y: coroutine(y), "meta": lambda y: y.to("meta"), "zero": lambda y: y[:0], "scalar": lambda y: y.sum(),
}


async def coroutine(y):
    return y


class Returns(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.layer, self.what = nn.Linear(4, 4), what

    def forward(self, x):
        return OUTPUTS[self.what](self.layer(x))


NAMES = {
    "empty": "", "dot": "a.b", "surrogate": "\udc80", "zero": "a\0b", "newline": "a\n::error::b", "long": "n" * 10_000,
    "right": "\u202eabc",
    "escape": "\x1b[31m", "markup": "<script>alert(1)</script>", "table": "a|b", "number": 3, "none": None, "own": "forward",
    "emoji": "\U0001f469\u200d\U0001f467" * 50,
    "class": "__class__", "quote": "\"'`", "digits": "0", "wide": "層" * 200,
}


class IsNamed(nn.Module):
    def __init__(self, name, place):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        table = {"module": self._modules, "parameter": self._parameters, "buffer": self._buffers, "setting": vars(self)}[place]
        value = {"module": nn.Linear(4, 4), "parameter": nn.Parameter(torch.zeros(3)), "buffer": torch.zeros(2), "setting": 3}[place]
        table[NAMES[name]] = value

    def forward(self, x):
        return self.layer(x)


def example_inputs():
    return torch.zeros(1, 4)
"""


def load_models():
    content = {}
    exec(compile(MODELS, "hostile_models.py", "exec"), content)
    return content


CONTENT = load_models()
RAISING = [f"Raises(where={where!r}, what={what!r})" for where in CONTENT["WHERE"] for what in (*CONTENT["ERRORS"], "deep")]
RETURNING = [f"Returns(what={what!r})" for what in CONTENT["OUTPUTS"]]
PLACES = ("module", "parameter", "buffer", "setting")
NAMED = [f"IsNamed(name={name!r}, place={place!r})" for name in CONTENT["NAMES"] for place in PLACES]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "hostile_models.py"
    path.write_text(MODELS)
    return path


def measure(ask, models, reference):
    """The profile, or the error."""
    try:
        return ask(models, reference, timeout_s=120).profile
    except ArchauditError as error:
        return error


def judge(ask, models, reference):
    found = measure(ask, models, reference)
    if isinstance(found, ArchauditError):
        assert found.message.strip()
        assert "Traceback" not in str(found)
        return
    assert found.totals.params == sum(module.own.params for module in found.modules)
    assert decode_profile(encode(found), "saved") == found
    assert render_profile_text(found, 100)
    for render in PROFILE_FORMATS.values():
        assert render(found)


def sample(cases, count, seed):
    """Some of the cases by default, all of them with the marker `slow`."""
    drawn = set(random.Random(seed).sample(cases, count))
    return [pytest.param(case, marks=() if case in drawn else pytest.mark.slow) for case in cases]


@pytest.mark.parametrize("reference", sample(RAISING, 16, 1))
def test_whatever_is_raised_is_a_message(ask, models, reference):
    judge(ask, models, reference)


@pytest.mark.parametrize("reference", ["Raises(where='settings', what='odd')", "Returns(what='self')", "Returns(what='many')"])
def test_an_attribute_or_output_without_end_stops_nothing(ask, models, reference):
    judge(ask, models, reference)


@pytest.mark.parametrize("reference", sample(RETURNING, 8, 2))
def test_whatever_is_returned_is_measured_or_a_message(ask, models, reference):
    judge(ask, models, reference)


@pytest.mark.parametrize("reference", sample(NAMED, 8, 3))
def test_whatever_a_model_is_called_it_is_measured_or_a_message(ask, models, reference):
    judge(ask, models, reference)
