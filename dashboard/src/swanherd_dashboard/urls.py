"""Addresses of the panel's pages."""

from django.urls import path

from swanherd_dashboard import formviews, views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("live", views.live, name="live"),
    path("picture", views.PictureView.as_view(), name="picture"),
    path("connect", formviews.ConnectView.as_view(), name="connect"),
    path("<uuid:connection_id>/", views.ConnectionView.as_view(), name="connection"),
    path("<uuid:connection_id>/live", views.connection_live, name="connection_live"),
    path("<uuid:connection_id>/peer", views.peer, name="peer"),
    path("<uuid:connection_id>/edit", formviews.EditView.as_view(), name="edit"),
    path("<uuid:connection_id>/delete", views.delete, name="delete"),
]
