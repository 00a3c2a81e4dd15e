"""The registry: what it takes in, and how it stays whole when packages are broken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field

from structflow.builtin import hooks
from structflow.errors import PluginError
from structflow.plugins import (
    INTERFACE_VERSION,
    KINDS,
    BasisFunction,
    BasisOptions,
    DataSource,
    Hypergradient,
    Likelihood,
    Options,
    Regime,
    StructureDistribution,
    hookimpl,
)
from structflow.plugins.registry import BUILTIN, GROUP, Broken, Registry, load_registry, registry

Package = Callable[..., EntryPoint]


class WaveOptions(BasisOptions):
    period: float = Field(1.0, gt=0)


class Wave(BasisFunction):
    """g(x) = sin(2π x / period)."""

    type = "wave"
    Options = WaveOptions

    @classmethod
    def weight_shapes(cls, options: Any, in_shape: Any, out_shape: Any) -> dict[str, Any]:
        return {}

    def forward(self, weights: Any, x: Any) -> Any:
        return (x * 6.283185307179586 / self.options.period).sin()


class Ripple(Wave):
    """The same under another name."""

    type = "ripple"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    """Makes the entry point of a package whose hooks return the given classes by kind, or are the given functions."""

    def make(name: str, **returned: Any) -> EntryPoint:
        module = ModuleType(name)
        for hook, value in returned.items():
            function = value if callable(value) and not isinstance(value, type) else lambda value=value: value
            setattr(module, hook, hookimpl(function, specname=hook))
        monkeypatch.setitem(sys.modules, name, module)
        return EntryPoint("structflow_plugin", name, GROUP)

    return make


BUILTIN_POINT = EntryPoint("builtin", BUILTIN, GROUP)


def only_reason(loaded: Registry) -> str:
    (broken,) = loaded.broken
    return broken.reason


def test_a_good_plugin_is_indexed_by_kind_and_type(package: Package) -> None:
    loaded = load_registry([package("waves", basis_functions=[Wave, Ripple])])
    assert loaded.broken == []
    assert list(loaded.of_kind("basis_functions")) == ["wave", "ripple"]
    assert loaded.get("basis_functions", "wave") is Wave
    registration = loaded.of_kind("basis_functions")["wave"]
    assert (registration.type, registration.origin, registration.kind) == ("wave", "waves", "basis_functions")
    options: Any = registration.options(period=2.0)
    assert options.type == "wave"
    assert options.period == 2.0
    assert all(not loaded.of_kind(kind) for kind in KINDS if kind != "basis_functions")


def test_a_hook_may_return_any_iterable_and_may_be_one_of_several(package: Package) -> None:
    loaded = load_registry([package("waves", basis_functions=lambda: (c for c in (Wave,)), likelihoods=[])])
    assert loaded.broken == []
    assert list(loaded.of_kind("basis_functions")) == ["wave"]


@pytest.mark.parametrize("raised", [RuntimeError("no GPU here"), SystemExit(1), SyntaxError("bad")])
def test_a_package_that_raises_at_import_is_skipped(
    package: Package, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    def load(self: EntryPoint) -> Any:
        if self.value == "broken_at_import":
            raise raised
        return real_load(self)

    real_load = EntryPoint.load
    monkeypatch.setattr(EntryPoint, "load", load)
    points = [EntryPoint("p", "broken_at_import", GROUP), package("waves", basis_functions=[Wave])]
    loaded = load_registry(points)
    assert "broken_at_import" in loaded.broken[0].origin
    assert only_reason(loaded) == f"{type(raised).__name__}: {raised}"
    assert list(loaded.of_kind("basis_functions")) == ["wave"]


def test_a_package_that_is_gone_is_skipped(package: Package) -> None:
    loaded = load_registry([EntryPoint("p", "no_such_package_at_all", GROUP), package("waves", basis_functions=[Wave])])
    assert "ModuleNotFoundError" in only_reason(loaded)
    assert list(loaded.of_kind("basis_functions")) == ["wave"]


def test_a_hook_that_raises_harms_only_itself(package: Package) -> None:
    def fails() -> Any:
        raise ValueError("table is missing")

    points = [
        package("halfway", basis_functions=fails, likelihoods=[]),
        package("waves", basis_functions=[Wave]),
        BUILTIN_POINT,
    ]
    loaded = load_registry(points)
    assert loaded.broken == [Broken("halfway", "hook basis_functions: ValueError: table is missing")]
    assert {"wave", "dense"} <= set(loaded.of_kind("basis_functions"))


def test_a_duplicate_name_is_refused_and_the_first_stays(package: Package) -> None:
    class Impostor(Wave):
        type = "dense"

    loaded = load_registry([BUILTIN_POINT, package("impostors", basis_functions=[Impostor, Wave])])
    assert "'dense' of impostors is refused: structflow.builtin.hooks already registered that name" in only_reason(
        loaded
    )
    assert loaded.get("basis_functions", "dense").__module__ == "structflow.builtin.basis_functions.dense"
    assert loaded.get("basis_functions", "wave") is Wave


class Unfinished(Wave):
    type = "unfinished"
    forward = BasisFunction.forward
    weight_shapes = BasisFunction.weight_shapes


class Newer(Wave):
    type = "newer"
    interface = (INTERFACE_VERSION[0], INTERFACE_VERSION[1] + 1)


class OtherMajor(Wave):
    type = "other_major"
    interface = (INTERFACE_VERSION[0] + 1, 0)


class OddInterface(Wave):
    type = "odd_interface"
    interface = "1.0"  # type: ignore[assignment]


class Nameless(Wave):
    type = ""


class WithoutTarget(Likelihood):
    type = "without_target"


class LooseOptions(BaseModel):
    scale: float = 1.0


class Loose(Wave):
    type = "loose"
    Options = LooseOptions  # type: ignore[assignment]


class Bare(Wave):
    type = "bare"
    Options = Options  # type: ignore[assignment]


class Unsure(Wave):
    type = "unsure"
    linear_in_weights = "yes"  # type: ignore[assignment]


OtherTarget = type("OtherTarget", (Likelihood,), {"type": "other", "target": "numbers"})
TwoLevels = type("TwoLevels", (Hypergradient,), {"type": "two", "levels": 2})
Family = type("Family", (StructureDistribution,), {"type": "family", "Options": Options})
Rule = type("Rule", (Regime,), {"type": "rule", "Options": Options})
Chunked = type("Chunked", (DataSource,), {"type": "chunked", "chunks": staticmethod(lambda options, base: None)})


class ExtraOptions(BasisOptions, extra="allow"):
    pass


class Extra(Wave):
    type = "extra"
    Options = ExtraOptions


class TypeOptions(BasisOptions):
    type: str = "mine"


class TakesType(Wave):
    type = "takes_type"
    Options = TypeOptions


@pytest.mark.parametrize(
    ("kind", "returned", "words"),
    [
        ("basis_functions", Unfinished, "Unfinished doesn't implement forward, weight_shapes"),
        ("basis_functions", Newer, "Newer is written for plugin interface 2.1; this is 2.0"),
        ("basis_functions", OtherMajor, "OtherMajor is written for plugin interface 3.0; this is 2.0"),
        ("basis_functions", OddInterface, "OddInterface.interface is '1.0'; expected two whole numbers, as in (2, 0)"),
        ("basis_functions", Nameless, "Nameless.type is ''; give it the word a spec will use"),
        ("basis_functions", 3, "hook basis_functions returned 3; expected a subclass of BasisFunction"),
        ("basis_functions", "wave", "hook basis_functions returned 'wave'"),
        ("basis_functions", Wave(WaveOptions(), (1,), (1,)), "expected a subclass of BasisFunction"),
        ("likelihoods", Wave, "expected a subclass of Likelihood"),
        ("likelihoods", WithoutTarget, "WithoutTarget has no `target`; set it in the class"),
        ("basis_functions", Loose, "derive it from structflow.plugins.BasisOptions"),
        ("basis_functions", Bare, "derive it from structflow.plugins.BasisOptions"),
        ("basis_functions", Extra, "Extra.Options accepts unknown keys"),
        ("basis_functions", Unsure, "Unsure.linear_in_weights is 'yes'; expected one of False, True"),
        ("likelihoods", OtherTarget, "OtherTarget.target is 'numbers'; expected one of 'continuous', 'classes'"),
        ("hypergradients", TwoLevels, "derive it from structflow.plugins.TwoLevelOptions"),
        ("structure_distributions", Family, "Family.Options has no `temperature` and no `learned`"),
        ("regimes", Rule, "derive it from structflow.plugins.RegimeOptions"),
        ("data_sources", Chunked, "derive it from structflow.plugins.StreamOptions"),
        ("basis_functions", TakesType, "TakesType.Options has a field 'type'"),
    ],
)
def test_what_breaks_the_contract_is_skipped_with_a_reason(
    package: Package, kind: str, returned: Any, words: str
) -> None:
    loaded = load_registry([package("odd", **{kind: [returned]}), package("waves", basis_functions=[Ripple])])
    assert words in only_reason(loaded)
    assert "\n" not in only_reason(loaded)
    assert loaded.broken[0].origin.startswith("odd")
    assert list(loaded.of_kind("basis_functions")) == ["ripple"]


def test_one_broken_class_leaves_its_neighbours(package: Package) -> None:
    loaded = load_registry([package("mixed", basis_functions=[Newer, Wave, None, Ripple])])
    assert len(loaded.broken) == 2
    assert list(loaded.of_kind("basis_functions")) == ["wave", "ripple"]


def test_a_hook_that_returns_no_list_is_reported(package: Package) -> None:
    loaded = load_registry([package("odd", basis_functions=3)])
    assert "TypeError" in only_reason(loaded)


def test_a_hook_with_a_misspelt_name_is_reported(package: Package) -> None:
    loaded = load_registry([package("typo", basis_function=[Wave])])
    assert "hook basis_function isn't part of plugin interface" in only_reason(loaded)
    assert "did you mean basis_functions?" in only_reason(loaded)


def test_a_module_without_hooks_is_reported(package: Package) -> None:
    assert "no hooks" in only_reason(load_registry([package("empty")]))


def test_an_unknown_name_says_what_is_installed(package: Package) -> None:
    loaded = load_registry([package("waves", basis_functions=[Wave, Ripple])])
    with pytest.raises(PluginError, match="no basis_functions plugin named 'wawe'; installed: wave, ripple"):
        loaded.get("basis_functions", "wawe")
    with pytest.raises(PluginError, match="installed: none"):
        loaded.get("regimes", "growth")


def test_the_process_has_one_registry_that_starts_with_the_builtins() -> None:
    assert registry() is registry()
    first = next(iter(registry().of_kind("basis_functions").values()))
    assert first.plugin.__module__.startswith("structflow.builtin.")


def test_every_kind_has_a_hook_and_a_folder_of_builtins() -> None:
    for kind in KINDS:
        assert callable(getattr(hooks, kind))
        assert hooks.classes_in(kind), kind


def test_options_stay_usable_without_the_registry() -> None:
    assert Options.model_config["extra"] == "forbid"
    assert WaveOptions(period=3).period == 3.0


def test_a_function_that_forgot_its_mark_is_named_beside_one_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("forgetful")
    source = "def basis_functions():\n    return [Wave]\ndef likelihoods():\n    return []\n"
    vars(module)["Wave"] = Wave
    exec(compile(source, "forgetful.py", "exec"), vars(module))
    vars(module)["basis_functions"] = hookimpl(vars(module)["basis_functions"])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    loaded = load_registry([EntryPoint("structflow_plugin", module.__name__, GROUP)])
    assert list(loaded.of_kind("basis_functions")) == ["wave"]
    assert only_reason(loaded) == "function likelihoods isn't marked with hookimpl, so that nothing calls it"


def test_a_class_in_place_of_a_list_is_explained(package: Package) -> None:
    loaded = load_registry([package("waves", basis_functions=lambda: Wave)])
    assert only_reason(loaded).endswith("expected a list of classes: return [Wave]")


@pytest.mark.parametrize("version", ["1.0", (1,), (1, "0"), 1.0])
def test_an_interface_that_is_no_version_is_explained(package: Package, version: Any) -> None:
    odd = type("Odd", (Wave,), {"interface": version, "__doc__": "Odd."})
    reason = only_reason(load_registry([package("waves", basis_functions=[odd])]))
    assert reason == f"Odd.interface is {version!r}; expected two whole numbers, as in (2, 0)"
