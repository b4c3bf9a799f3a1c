"""The executor puts a resolver's `Finished` value into the response unchanged.

If these tests fail after an upgrade of graphql-core, its executor has changed.
"""

import orjson
import pytest
from graphql import ExecutionResult, build_schema, parse

from schema.pipeline.execute import Executor, Finished

SDL = "type Query { one: Thing! many: [Thing!]! } type Thing { name: String! }"


def execute(root: dict[str, object]) -> dict[str, object]:
    executor = Executor.build(build_schema(SDL), parse("{ one { name } many { name } }"), root)
    assert isinstance(executor, Executor)
    result = executor.execute_operation()
    assert isinstance(result, ExecutionResult)
    assert result.errors is None
    assert result.data is not None
    return result.data


def test_a_finished_answer_is_not_completed_field_by_field() -> None:
    data = execute({"one": Finished(orjson.Fragment('{"anything":1}')), "many": Finished([1, None])})

    assert orjson.dumps(data) == b'{"one":{"anything":1},"many":[1,null]}'


def test_other_values_are_completed_by_graphql_core() -> None:
    data = execute({"one": {"name": "A", "other": 1}, "many": [{"name": "B"}]})

    assert data == {"one": {"name": "A"}, "many": [{"name": "B"}]}


def test_the_hook_is_the_place_where_completion_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    original = Executor.complete_value

    def counted(self: Executor, *arguments: object) -> object:
        calls.append(arguments[4])
        return original(self, *arguments)

    monkeypatch.setattr(Executor, "complete_value", counted)
    one, many = Finished(1), Finished(2)
    execute({"one": one, "many": many})

    assert calls == [one, many]
