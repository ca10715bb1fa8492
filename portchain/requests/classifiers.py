"""Requests for flow classifiers."""

from portchain.core import rules
from portchain.db import convert, lookup, project_lock, relations, writer
from portchain.requests.request import Data, Request, refuse_if_used, usable_ports


def create_flow_classifier(request: Request, data: Data) -> str:
    """Add a flow classifier; return its id."""
    project_lock.acquire(request.session, data["project_id"])
    row = writer.new_flow_classifier(data)
    classifier = convert.classifier(row)
    rules.check_flow_classifier(classifier)
    usable_ports(
        request,
        logical_source_port=classifier.logical_source_port,
        logical_destination_port=classifier.logical_destination_port,
    )
    rules.check_overlap(
        classifier, relations.classifiers_that_may_overlap(request.session, [classifier])
    )
    request.check(classifier)
    request.session.add(row)
    request.session.flush()
    return row.id


def delete_flow_classifier(request: Request, an_id: str) -> None:
    """Delete a flow classifier that is in no chain."""
    row = lookup.find_one(request.context, lookup.FLOW_CLASSIFIER, an_id)
    chain = relations.chains_of_classifiers(request.session, [an_id]).get(an_id)
    refuse_if_used(request, "Flow classifier", an_id, lookup.PORT_CHAIN, [chain] if chain else [])
    writer.remove(request.session, row)
