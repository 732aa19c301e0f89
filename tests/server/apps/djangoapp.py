"""A Django application in one file."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",  # noqa: S106
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    SECURE_SSL_REDIRECT=True,
)
django.setup()


def hello(request):
    return HttpResponse(f"hello {request.META['SSL_CLIENT_S_DN_CN']}")


def facts(request):
    return JsonResponse({"secure": request.is_secure(), "body": request.body.decode(), "host": request.get_host()})


def stream(request):
    return StreamingHttpResponse(f"{n}\n" for n in range(3))


urlpatterns = [path("", hello), path("facts", facts), path("stream", stream)]
app = get_wsgi_application()
