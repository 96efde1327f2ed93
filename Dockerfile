# The operator's image, from wheels that lie in the build folder, so that nothing is fetched while building:
#   pip download --require-hashes --only-binary=:all: -r requirements.lock -d build/wheels
#   pip wheel --no-deps . -w build/project
# (`python -m tests.cluster.images operator` does both and builds.) The dependencies and the operator lie in layers of
# their own: a change of the operator rebuilds and ships its own small layer only.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS dependencies
COPY requirements.lock /src/
COPY build/wheels /src/wheels
RUN python3 -m venv /opt/installer \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/installer/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-index --find-links /src/wheels \
    --require-hashes -r /src/requirements.lock \
 && echo /opt/operator/lib/python3.11/site-packages > /opt/venv/lib/python3.11/site-packages/operator.pth

FROM dependencies AS project
COPY build/project /src/project
RUN /opt/installer/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-index --no-deps \
    --prefix /opt/operator /src/project/milvus_tuning_operator-*.whl

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="milvus-tuning-operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=project /opt/operator /opt/operator
# Byte code is in the image, so a read-only root file system costs nothing; the log must not wait in a buffer.
ENV PATH=/opt/operator/bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
# Numeric, so that runAsNonRoot can be checked.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["milvus-tuning"]
CMD ["run"]
