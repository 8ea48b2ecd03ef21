"""Addresses of the panel's pages."""

from django.urls import path

from swanherd_dashboard import views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("live", views.live, name="live"),
    path("<uuid:connection_id>/", views.ConnectionView.as_view(), name="connection"),
    path("<uuid:connection_id>/live", views.connection_live, name="connection_live"),
    path("<uuid:connection_id>/peer", views.peer, name="peer"),
    path("<uuid:connection_id>/delete", views.delete, name="delete"),
]
