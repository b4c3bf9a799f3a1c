"""Messages about wrong arguments of commands. Most messages begin with the name of the option."""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from resolvers.errors import FaultCode, Faults

_WRONG_VALUE = {FaultCode.BLANK, FaultCode.INVALID, FaultCode.TOO_LONG}


def whole_number(low: int, high: int) -> Callable[[Any, Sequence[Token]], int]:
    """Return a function that converts an option's value to a whole number within these bounds."""

    def convert(_type: Any, tokens: Sequence[Token]) -> int:
        text = tokens[0].value
        if not re.fullmatch(r"[0-9]{1,15}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low:,} to {high:,}")
        return int(text)

    return convert


def not_empty(_type: Any, value: str | None) -> None:
    """Raise ValueError if the value of an option is empty or only whitespace."""
    if value is not None and not value.strip():
        raise ValueError("must not be empty")


def explain(error: CycloptsError) -> str:
    """Return one sentence that says what is wrong with the arguments."""
    match error:
        case UnknownOptionError():
            return _unknown_option(error.token.keyword or error.token.value, error.argument_collection)
        case MissingArgumentError(keyword=None, argument=argument, unused_tokens=unused) if argument:
            wrong = next((each for each in unused or () if each.startswith("-")), None)
            if wrong is not None:
                return _unknown_option(wrong, error.app.assemble_argument_collection() if error.app else ())
            return f"{argument.name} is required{_choices(argument.hint)}"
        case MissingArgumentError(keyword=option):
            return f"{option} needs a value"
        case RepeatArgumentError():
            return f"{error.token.keyword} is given twice"
        case CoercionError(msg=str() as reason, token=token):
            return f"{token.keyword if token else 'the value'} {reason}"
        case CoercionError(token=token, target_type=type):
            return f"{token.keyword if token else 'the value'} must be {_expected(type)}"
        case ValidationError(argument=argument) if argument:
            return f"{argument.name} {error.exception_message}"
        case ValidationError():
            return error.exception_message
        case UnusedCliTokensError() | UnknownCommandError():
            return f"unknown command or argument: {' '.join(error.unused_tokens or ())} (--help lists them)"
    return "the arguments are wrong (--help lists them)"


def explain_faults(faults: Faults, command_line: App, arguments: Sequence[str]) -> str | None:
    """Return one sentence for each option value that a resolver refused.

    Return None if there is any other fault.
    """
    names = _names(command_line, arguments)
    if not all(
        fault.code in _WRONG_VALUE and fault.field[:1] and fault.field[0] in names for fault in faults.faults
    ):
        return None
    sentences = (
        f"{names[fault.field[0]]} {fault.written(lambda name: names.get(name, name))}"
        for fault in faults.faults
    )
    return "\n".join(sentences)


def _names(command_line: App, arguments: Sequence[str]) -> Mapping[str, str]:
    """Return the option for each parameter of a command, for example `--expires-at` for `expires_at`."""
    *_, command = command_line.parse_commands(arguments)[1]
    return {each.field_info.name: each.name for each in command.assemble_argument_collection()}


def _unknown_option(option: str, known: Any) -> str:
    option = option.partition("=")[0]
    near = get_close_matches(option, [name for each in known for name in each.names], n=1)
    return f"unknown option: {option} ({f'did you mean {near[0]}?' if near else '--help lists them'})"


def _choices(hint: Any) -> str:
    return f": {' or '.join(get_args(hint))}" if get_origin(hint) is Literal else ""


def _expected(type: Any) -> str:
    if get_origin(type) is Literal:
        return f"one of: {', '.join(get_args(type))}"
    return "true or false" if type is bool else "another value"
