"""The executor's hook: finished answers are taken as they are. If these fail, graphql-core has changed."""

import orjson
import pytest
from graphql import build_schema, parse

from schema.executor import Finished, SplicingExecutor

SDL = "type Query { one: Thing! many: [Thing!]! } type Thing { name: String! }"


def execute(root: dict[str, object]) -> dict[str, object]:
    executor = SplicingExecutor.build(build_schema(SDL), parse("{ one { name } many { name } }"), root)
    assert isinstance(executor, SplicingExecutor)
    result = executor.execute_operation()
    assert result.errors is None
    return result.data


def test_a_finished_answer_is_not_walked_into() -> None:
    data = execute({"one": Finished(orjson.Fragment('{"anything":1}')), "many": Finished([1, None])})

    assert orjson.dumps(data) == b'{"one":{"anything":1},"many":[1,null]}'


def test_anything_else_is_completed_as_ever() -> None:
    data = execute({"one": {"name": "A", "other": 1}, "many": [{"name": "B"}]})

    assert data == {"one": {"name": "A"}, "many": [{"name": "B"}]}


def test_the_hook_is_the_place_where_completion_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    original = SplicingExecutor.complete_value

    def counted(self: SplicingExecutor, *arguments: object) -> object:
        calls.append(arguments[4])
        return original(self, *arguments)

    monkeypatch.setattr(SplicingExecutor, "complete_value", counted)
    one, many = Finished(1), Finished(2)
    execute({"one": one, "many": many})

    assert calls == [one, many]
