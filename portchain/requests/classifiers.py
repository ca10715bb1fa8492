"""Requests that create, update and delete flow classifiers."""

from collections.abc import Sequence

from portchain.core import rules
from portchain.db import convert, lookup, project_lock, relations, writer
from portchain.requests.request import (
    Data,
    Request,
    load_usable_ports,
    refuse_if_in_use,
    update_name_and_description,
)


def create_flow_classifier(request: Request, data: Data) -> str:
    """Add a flow classifier and return its id; see `create_flow_classifiers`."""
    (classifier_id,) = create_flow_classifiers(request, [data])
    return classifier_id


def create_flow_classifiers(request: Request, items: Sequence[Data]) -> list[str]:
    """Add flow classifiers and return their ids.

    Checks and writes them together: checked one by one, each would be compared with all the others.

    :raises PortNotFound: a logical port does not exist, or the caller cannot see it.
    :raises Violation: a classifier breaks a rule or overlaps with another one, a logical port
        belongs to another project, or no driver supports a classifier.
    """
    project_lock.acquire(request.session, *(data["project_id"] for data in items))
    rows = [writer.new_flow_classifier(data) for data in items]
    classifiers = [convert.classifier(row) for row in rows]
    for classifier in classifiers:
        rules.check_flow_classifier(classifier)
    load_usable_ports(
        request,
        (
            (attribute, getattr(classifier, attribute))
            for classifier in classifiers
            for attribute in ("logical_source_port", "logical_destination_port")
        ),
    )
    for others in relations.classifiers_that_may_overlap(request.session, classifiers):
        rules.check_overlaps(classifiers, others)
    for classifier in classifiers:
        request.check(classifier)
    request.session.add_all(rows)
    request.session.flush()
    return [row.id for row in rows]


def update_flow_classifier(request: Request, classifier_id: str, data: Data) -> None:
    """Change the name or description of a flow classifier.

    :raises NotFound: the classifier does not exist, or the caller cannot see it.
    """
    update_name_and_description(request, lookup.FLOW_CLASSIFIER, classifier_id, data)


def delete_flow_classifier(request: Request, classifier_id: str) -> None:
    """Delete a flow classifier.

    :raises NotFound: the classifier does not exist, or the caller cannot see it.
    :raises ResourceInUse: a chain uses the classifier.
    """
    row = lookup.find_one(request.context, lookup.FLOW_CLASSIFIER, classifier_id)
    chain = relations.chains_of_classifiers(request.session, [classifier_id]).get(classifier_id)
    refuse_if_in_use(
        request, "Flow classifier", classifier_id, lookup.PORT_CHAIN, [chain] if chain else []
    )
    writer.remove(request.session, row)
