"""Inputs that Django does not have. Without JavaScript they are lists to choose from."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from portchain_dashboard import values
from portchain_dashboard.names import Choice


class OrderedSelect(forms.SelectMultiple):
    """A choice of several whose order counts.

    Browsers send the chosen options in the order of the list. So this writes them first, in the
    order of the value, and a script (``portchain.js``) moves them.
    """

    choices: Any

    def __init__(self, attrs: dict[str, str] | None = None) -> None:
        super().__init__({"class": "portchain-ordered", **(attrs or {})})

    def use_required_attribute(self, initial: Any) -> bool:
        """Called by Django: no, browsers would refuse a hidden list without a word."""
        return False

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        """Called by Django: return the options, those that are chosen first."""
        place = {one: number for number, one in enumerate(map(str, value or ()))}
        before = list(self.choices)
        self.choices = sorted(before, key=lambda one: place.get(str(one[0]), len(place)))
        try:
            return super().optgroups(name, value, attrs)
        finally:
            self.choices = before


class OrderedField(forms.MultipleChoiceField):
    """A choice of several whose order counts."""

    widget = OrderedSelect


_BLANK_ROWS = 2


class EdgesWidget(forms.Widget):
    """Rows of two lists: a chain, and one that follows it."""

    template_name = "portchain/widgets/edges.html"
    choices: Sequence[Choice] = ()

    def get_context(self, name: str, value: Any, attrs: Any) -> Any:
        """Called by Django: return what the template shows."""
        context = super().get_context(name, value, attrs)
        rows = [*(value or ()), *[("", "")] * (1 if value else _BLANK_ROWS)]
        context["widget"] |= {"rows": rows, "choices": self.choices}
        return context

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[tuple[str, str]]:
        """Called by Django: return the rows in which something is chosen."""
        rows = zip(data.getlist(f"{name}_from"), data.getlist(f"{name}_to"), strict=False)
        return [row for row in rows if any(row)]

    def id_for_label(self, id_: str) -> str:
        """Called by Django: return which input the label belongs to."""
        return f"{id_}_from_0"


class EdgesField(forms.Field):
    """Which chains follow which."""

    widget = EdgesWidget

    def set_choices(self, choices: Iterable[Choice]) -> None:
        """Offer these chains."""
        self.widget.choices = list(choices)

    def clean(self, value: Any) -> dict[str, list[str]]:
        """Return the attribute ``port_chains``.

        :raises ValidationError: there is no row, or one that is half empty or offers no such chain.
        """
        if not value:
            raise ValidationError(_("Choose a chain and one that follows it."))
        known = {one for one, _label in self.widget.choices}
        if not all(end in known for row in value for end in row):
            raise ValidationError(_("Choose both chains of each row."))
        return values.graph_of(value)
