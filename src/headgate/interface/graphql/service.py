"""The service: queries, from text to what came of them."""

import logging
import re
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    Executor,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    execute,
    get_operation_ast,
    print_ast,
    specified_rules,
    validate,
)

from headgate.core.codec import encode_json
from headgate.errors import BadRequest, HeadgateError
from headgate.interface.graphql.context import Context
from headgate.interface.graphql.limits import Limits, read_query
from headgate.interface.graphql.results import Results, errors_of, is_ours, refusal_of
from headgate.interface.graphql.streams import Wanted

logger = logging.getLogger("headgate.web")
_MOST_ERRORS = 20  # that are told of one query
_VARIABLE = re.compile(r"\$(\w+)")


class Asked(msgspec.Struct):
    """A request, as GraphQL over HTTP and over WebSockets has it."""

    query: str
    variables: dict[str, Any] | None = None
    operation: str | None = msgspec.field(name="operationName", default=None)
    extensions: dict[str, Any] | None = None


class QueryRefused(Exception):
    """Nothing of a query was carried out; why, as plain data."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        self.errors = list(errors)
        super().__init__(errors[0]["message"])


@dataclass(frozen=True, slots=True)
class Operation:
    """A query that can be carried out."""

    document: DocumentNode
    node: OperationDefinitionNode
    asked: Asked

    @property
    def kind(self) -> OperationType:
        """Whether it asks, changes or subscribes."""
        return self.node.operation


class Service:
    """Carries out queries on a schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool) -> None:
        self._schema, self._limits = schema, limits
        self._rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)

    def __repr__(self) -> str:
        return f"<Service: {len(self._schema.type_map)} types>"

    def prepare(self, asked: Asked) -> Operation:
        """Read a query. Raises `QueryRefused`."""
        try:
            document = read_query(asked.query, asked.variables or {}, self._limits)
        except HeadgateError as error:
            raise QueryRefused(refusal_of(error)) from None
        except GraphQLError as error:
            raise QueryRefused(*errors_of([error])) from None
        if errors := validate(self._schema, document, self._rules, max_errors=_MOST_ERRORS):
            raise QueryRefused(*errors_of(errors))
        node = get_operation_ast(document, asked.operation)
        if node is None:
            raise QueryRefused(refusal_of(BadRequest("say by operationName which of its operations is meant")))
        return Operation(document, node, asked)

    async def carry_out(self, operation: Operation, context: Context) -> ExecutionResult:
        """What a query or a mutation comes to."""
        asked = operation.asked
        result = execute(
            self._schema,
            operation.document,
            context_value=context,
            variable_values=asked.variables,
            operation_name=asked.operation,
        )
        result = result if isinstance(result, ExecutionResult) else await result
        _log(result)
        return result

    def follow(self, operation: Operation, context: Context) -> tuple[Wanted, Results]:
        """What a subscription is to follow, and how its messages look. Raises `QueryRefused`."""
        wanted = create_source_event_stream(self._executor(operation, context))
        if not isinstance(wanted, Wanted):
            assert isinstance(wanted, ExecutionResult)
            _log(wanted)
            raise QueryRefused(*errors_of(wanted.errors or ()))
        field = _root(operation)
        name = (field.alias or field.name).value
        rendered = self._executor(operation, None)  # messages look the same to all
        return wanted, Results(_looks(operation, field), name, rendered, wanted.hub.stream)

    def _executor(self, operation: Operation, context: Context | None) -> Executor[Any]:
        asked = operation.asked
        executor = Executor.build(
            self._schema, operation.document, None, context, asked.variables, operation_name=asked.operation
        )
        if isinstance(executor, list):
            raise QueryRefused(*errors_of(executor))
        return executor


def _root(operation: Operation) -> FieldNode:
    """The one field that a subscription has, which may stand in a fragment."""
    fragments = {d.name.value: d for d in operation.document.definitions if isinstance(d, FragmentDefinitionNode)}
    selections = operation.node.selection_set.selections
    while not isinstance(node := selections[0], FieldNode):
        if isinstance(node, FragmentSpreadNode):
            selections = fragments[node.name.value].selection_set.selections
        else:
            assert isinstance(node, InlineFragmentNode)
            selections = node.selection_set.selections
    return node


def _looks(operation: Operation, field: FieldNode) -> tuple[str, ...]:
    """What decides how messages look: all of a query but the arguments, which say what is followed, and from where."""
    bare = FieldNode(
        name=field.name, alias=field.alias, directives=field.directives, selection_set=field.selection_set, arguments=()
    )
    fragments = [d for d in operation.document.definitions if isinstance(d, FragmentDefinitionNode)]
    told = [print_ast(node) for node in (bare, *fragments)]
    used = {name for text in told for name in _VARIABLE.findall(text)}
    defined = [d for d in operation.node.variable_definitions or () if d.variable.name.value in used]
    given = {name: value for name, value in (operation.asked.variables or {}).items() if name in used}
    return (*told, *map(print_ast, defined), encode_json(given).decode())


def _log(result: ExecutionResult) -> None:
    for error in result.errors or ():
        if not is_ours(error):
            logger.error("a resolver failed", exc_info=error.original_error, extra={"path": error.path})
