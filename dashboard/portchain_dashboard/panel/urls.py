"""The addresses of the panel's pages."""

from django.urls import path

from portchain_dashboard.panel import views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("wizard/", views.WizardView.as_view(), name="wizard"),
    path("group/<uuid:id>/share/", views.ShareView.as_view(), name="share"),
    path("<slug:slug>/create/", views.CreateView.as_view(), name="create"),
    path("<slug:slug>/<uuid:id>/", views.DetailView.as_view(), name="detail"),
    path("<slug:slug>/<uuid:id>/update/", views.UpdateView.as_view(), name="update"),
    path("chain/<uuid:id>/picture/", views.picture, name="picture"),
]
