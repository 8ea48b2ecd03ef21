"""Addresses of the panel's pages."""

from django.urls import path

from swanherd_dashboard import formviews, policyviews, views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("live", views.live, name="live"),
    path("picture", views.PictureView.as_view(), name="picture"),
    path("connect", formviews.ConnectView.as_view(), name="connect"),
    path("policies", policyviews.PoliciesView.as_view(), name="policies"),
    path("policies/<slug:kind>/new", policyviews.NewView.as_view(), name="policy_new"),
    path(
        "policies/<slug:kind>/<uuid:policy_id>/edit",
        policyviews.EditView.as_view(),
        name="policy_edit",
    ),
    path("policies/<slug:kind>/<uuid:policy_id>/delete", policyviews.delete, name="policy_delete"),
    path("<uuid:connection_id>/", views.ConnectionView.as_view(), name="connection"),
    path("<uuid:connection_id>/live", views.connection_live, name="connection_live"),
    path("<uuid:connection_id>/peer", views.peer, name="peer"),
    path("<uuid:connection_id>/edit", formviews.EditView.as_view(), name="edit"),
    path("<uuid:connection_id>/delete", views.delete, name="delete"),
]
