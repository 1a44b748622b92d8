"""A clock that only the toy models move, and a model timed on it."""

from torch import nn

from archaudit.measure.latency import TimedModel
from archaudit.schema import InputSpec, Recipe, TimingSettings


class FakeClock:
    """A clock that moves only when a toy model moves it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Takes(nn.Module):
    """Takes the next of `seconds` in each call, and the last one from then on."""

    def __init__(self, clock, *seconds):
        super().__init__()
        self.clock, self.seconds = [clock], list(seconds)

    def forward(self, x):
        self.clock[0].now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        return x


class Tree(nn.Module):
    """5 s itself, a child of 1 s that is called twice, and a child of 3 s that contains a child of 2 s."""

    def __init__(self, clock):
        super().__init__()
        self.twice = Takes(clock, 1.0)
        self.outer = Outer(clock)
        self.uncalled = Takes(clock, 9.0)
        self.clock = [clock]

    def forward(self, x):
        self.clock[0].now += 5
        return self.outer(self.twice(self.twice(x)))


class Outer(nn.Module):
    def __init__(self, clock):
        super().__init__()
        self.inner = Takes(clock, 2.0)
        self.clock = [clock]

    def forward(self, x):
        self.clock[0].now += 3
        return self.inner(x)


class FakeEvent:
    """A CUDA event that records the time of the clock."""

    def __init__(self, clock):
        self.clock, self.at = clock, None

    def record(self):
        self.at = self.clock.now

    def elapsed_time(self, later):
        return 1e3 * (later.at - self.at)


def make_timed(build, settings=TimingSettings(device="cpu", threads=1), **fields):  # noqa: B008 - the record is immutable
    clock = FakeClock()
    recipe = Recipe(name="toy", reference="toy", build=lambda: build(clock), inputs=(InputSpec(shape=(2, 3)),), **fields)
    return TimedModel(recipe, settings, clock=clock)
