"""A griffe extension: the fields of an Equinox module are the arguments of its constructor."""

from collections.abc import Iterator

from griffe import (
    Attribute,
    Class,
    Extension,
    Function,
    Module,
    Parameter,
    ParameterKind,
    Parameters,
)


def _classes(module: Module | Class) -> Iterator[Class]:
    for member in module.members.values():
        if member.is_alias:
            continue
        if isinstance(member, Class):
            yield member
        if isinstance(member, Module | Class):
            yield from _classes(member)


def _bases(cls: Class) -> list[Class]:
    """The class and those that it inherits from, the most general one first."""
    return [*reversed(cls.mro()), cls]


def _is_module(cls: Class) -> bool:
    outside = (getattr(base, "canonical_path", "") for c in _bases(cls) for base in c.bases)
    return any(path.startswith(("equinox.", "diffrax.")) for path in outside)


def _field(attribute: Attribute) -> Parameter | None:
    """The argument of a field; `None` for a class variable and for a field without one."""
    annotation, value = str(attribute.annotation), attribute.value
    no_argument = "ClassVar" in annotation or "AbstractVar" in annotation
    if attribute.annotation is None or "property" in attribute.labels or no_argument:
        return None
    if "init=False" in str(value):
        return None
    if "field(" in str(value):
        values = [
            argument.value
            for argument in getattr(value, "arguments", [])
            if getattr(argument, "name", "") in ("default", "default_factory")
        ]
        value = values[0] if values else None
    kind = ParameterKind.positional_or_keyword
    return Parameter(attribute.name, annotation=attribute.annotation, kind=kind, default=value)


class EquinoxFields(Extension):
    """Gives each module without `__init__` the one that Equinox makes of its fields."""

    def on_package(self, *, pkg: Module, **kwargs) -> None:
        for cls in _classes(pkg):
            bases = _bases(cls)
            if not _is_module(cls) or any("__init__" in base.members for base in bases):
                continue
            fields = {
                name: field
                for base in bases
                for name, member in base.members.items()
                if isinstance(member, Attribute) and (field := _field(member))
            }
            if fields:
                init = Function("__init__", parameters=Parameters(*fields.values()), parent=cls)
                cls.set_member("__init__", init)
