"""GraphQL input types, created from the models that check their values."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import strawberry
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo
from strawberry.types.field import StrawberryField

from resolvers.inputs import Input
from resolvers.versions import Versions
from schema.base.scalars import DateTime, JSONObject

T = TypeVar("T")


def input_of(model: type[Input]) -> Callable[[type[T]], type[T]]:
    """Turn a class into a GraphQL input that has the fields of the class, followed by those of a model.

    The model determines types, descriptions and which fields are required. If the class declares a field that
    the model also has, the class determines the type of that field, and its default if the class gives one.
    This is needed for ids, UUIDs and enums. A field that the model excludes (`Field(exclude=True)`) is left
    out, unless the class declares it. The description of the input is the docstring of the class, or of the
    model if the class has none.
    """

    def decorate(cls: type[T]) -> type[T]:
        own = dict(inspect.get_annotations(cls))
        added = {name: info for name, info in model.model_fields.items() if name in own or not info.exclude}
        for name, info in added.items():
            _add_default(cls, name, info)
        types = {name: own.get(name) or _type_of(info) for name, info in added.items()}
        cls.__annotations__ = {name: type for name, type in own.items() if name not in added} | types
        about = inspect.cleandoc(cls.__doc__ or model.__doc__ or "")
        made: type[T] = strawberry.input(cls, description=about)
        return made

    return decorate


def _add_default(cls: type, name: str, info: FieldInfo) -> None:
    declared = vars(cls).get(name)
    if isinstance(declared, StrawberryField):
        return
    options: dict[str, Any] = {"description": info.description}
    if declared is not None or not info.is_required():
        options["default"] = strawberry.UNSET if declared is None else declared
    setattr(cls, name, strawberry.field(**options))


def _type_of(info: FieldInfo) -> Any:
    type = _graph_type(info.annotation)
    return type if info.is_required() else type | None


def _graph_type(annotation: Any) -> Any:
    """Return the GraphQL type for a model's annotation, ignoring None."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _graph_type(arguments[0])
    if origin in {Union, UnionType}:
        (only,) = (each for each in arguments if each is not NoneType)
        return _graph_type(only)
    if origin is list:
        return list[_graph_type(arguments[0])]  # type: ignore[misc]  # a type that is known at run time only
    if origin is dict:
        return JSONObject
    return DateTime if annotation is AwareDatetime else annotation


def if_version() -> Any:
    """Return the field of an input with the version that the object must have."""
    return strawberry.field(
        default=strawberry.UNSET,
        description="Make the change only if this is the object's current version. If not, fail with "
        "WRONG_STATE on ifVersion. By default, the object may have any version.",
    )


def required_version(input: Any) -> Versions:
    """Return the version that an input requires (`if_version`)."""
    return {input.if_version} if isinstance(input.if_version, int) else None


def values_of(input: Any) -> dict[str, object]:
    """Return the given fields of an input, by their Python names. Enums become their values.

    A field with null counts as given. An absent field does not.
    """
    given = {field.name: getattr(input, field.name) for field in fields(input)}
    return {name: _plain(value) for name, value in given.items() if value is not strawberry.UNSET}


def _plain(value: object) -> object:
    """Return a value with enums replaced by their values."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
