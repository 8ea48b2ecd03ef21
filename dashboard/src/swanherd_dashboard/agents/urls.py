"""Addresses of the operators' pages."""

from django.urls import path

from swanherd_dashboard.agents import views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("<uuid:agent_id>/", views.AgentView.as_view(), name="agent"),
    path("<uuid:agent_id>/drain", views.drain, name="drain"),
    path("<uuid:agent_id>/move/<uuid:router_id>", views.move, name="move"),
]
