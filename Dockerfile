# One image for every process of the service: `autos api`, `autos worker`, `autos migrate`.
# The embedded servers and the development tools are not in it.

FROM python:3.11-slim AS build
WORKDIR /app
# The lock is one file for all uses. Everything in it is fetched and checked by hash; what is then
# installed is taken from those files alone, and only as far as the service itself depends on it.
COPY requirements.lock ./
RUN pip download --quiet --no-cache-dir --require-hashes --only-binary :all: --no-deps \
    --requirement requirements.lock --dest /wheels
COPY pyproject.toml README.md LICENSE alembic.ini ./
COPY api ./api
COPY workflows ./workflows
COPY activities ./activities
COPY worker ./worker
COPY autos ./autos
COPY cli ./cli
COPY migrations ./migrations
COPY sandbox ./sandbox
RUN python -m venv --without-pip /opt/autos \
    && pip --python /opt/autos install --quiet --no-index --find-links /wheels .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/autos --create-home autos
COPY --from=build /opt/autos /opt/autos
ENV PATH=/opt/autos/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AUTOS_DATA_DIR=/var/lib/autos \
    AUTOS_API_HOST=0.0.0.0
# Documents above 8 MiB pass through here on their way to S3.
VOLUME /var/lib/autos
WORKDIR /var/lib/autos
USER autos
EXPOSE 8000
# For the API. A worker has another one, see docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('AUTOS_API_PORT', '8000') + '/health/live', timeout=4)"]
CMD ["autos", "api"]
