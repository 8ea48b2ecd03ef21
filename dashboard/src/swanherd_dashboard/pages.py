"""What the pages of one thing have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from django import http, shortcuts
from horizon import messages, views

from swanherd_dashboard import neutron


class PageOfOne(views.HorizonTemplateView):
    """A page of one thing of a list, to which whatever Neutron refuses leads back."""

    index: ClassVar[str]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> http.HttpResponse:
        """Show it, or go back to the list."""
        try:
            answer: http.HttpResponse = super().get(request, *args, **kwargs)
        except neutron.Refused as error:
            messages.error(request, error.text)
            return shortcuts.redirect(self.index)
        return answer
