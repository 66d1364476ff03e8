"""A gate without a server: for a command that puts messages straight into the database that a configuration names."""

from dataclasses import replace

from headgate.errors import NotFound
from headgate.spec.plan import AuthPlan, Plan


def direct_plan(plan: Plan, path: str | None) -> Plan:
    """The plan with one ingest interface and nothing that works by itself. Raises a `NotFound`."""
    found = [i for i in plan.interfaces if i.ingest is not None and path in (None, i.path)]
    if not found:
        where = "" if path is None else f" at {path}"
        raise NotFound(f"the configuration has no interface of kind ingest{where}")
    interface = found[0]
    ingest = interface.ingest
    assert ingest is not None
    streams = {name: plan.streams[name] for name in (ingest.publish, ingest.dead_letters) if name}
    policies = replace(interface.policies, rate_limit=None, timeout_ms=None)
    alone = replace(interface, ingest=replace(ingest, source=None, load=()), policies=policies)
    runtime = replace(plan.runtime, discovery_modules=())
    service = replace(plan.service, auth=AuthPlan())  # nobody but us is there
    return replace(plan, service=service, streams=streams, nodes={}, interfaces=(alone,), runtime=runtime)
