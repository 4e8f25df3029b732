# The image of llm-scaler. `make image` builds it.
#
# Both bases are arguments without a default, to be given by digest: only a digest says what is in an image.
#   BASE        what it runs on: Python 3.11 or later as /usr/bin/python3 (PYTHON says otherwise), glibc, CA certificates.
#               A shell is not needed: nothing is run in the final stage, so it builds for any platform without emulation.
#   BUILD_BASE  what it is built on: the same minor version of Python, with pip and a shell.
ARG BUILD_BASE
ARG BASE

FROM --platform=$BUILDPLATFORM ${BUILD_BASE} AS build
ARG TARGETARCH=amd64
ARG PYTHON=/usr/bin/python3
WORKDIR /src

# What is installed, from the lock: uv to install with, and what llm-scaler needs to run; every file is held to its hash.
COPY requirements.lock pyproject.toml ./
COPY deploy/image/lock.py ./
RUN python3 lock.py only uv < requirements.lock > uv.lock && python3 lock.py runtime < requirements.lock > runtime.lock
# How registries are reached is the business of the machine that builds: two secrets, neither of which stays in the image.
RUN --mount=type=secret,id=environment --mount=type=secret,id=ca \
    set -a; test ! -f /run/secrets/environment || . /run/secrets/environment; \
    python3 -m pip install --quiet --no-cache-dir --require-hashes --only-binary :all: --target /uv --requirement uv.lock
RUN --mount=type=secret,id=environment --mount=type=secret,id=ca \
    set -a; test ! -f /run/secrets/environment || . /run/secrets/environment; \
    case "$TARGETARCH" in amd64) arch=x86_64 ;; arm64) arch=aarch64 ;; *) echo "no wheels for $TARGETARCH" >&2; exit 1 ;; esac; \
    /uv/bin/uv pip install --quiet --no-cache --require-hashes --no-build --link-mode copy \
      --python python3 --python-platform "$arch-manylinux_2_28" --target /opt/llm-scaler --requirement runtime.lock

COPY README.md LICENSE NOTICE ./
COPY formulas formulas
COPY scaler scaler
RUN --mount=type=secret,id=environment --mount=type=secret,id=ca \
    set -a; test ! -f /run/secrets/environment || . /run/secrets/environment; \
    /uv/bin/uv build --quiet --no-cache --wheel --build-constraints requirements.lock --require-hashes --python python3 --out-dir dist \
    && /uv/bin/uv pip install --quiet --no-cache --no-deps --link-mode copy --python python3 --target /opt/llm-scaler dist/*.whl
# One command. Byte code is checked against nothing when it is read, so it is the same from every build and on every copy.
RUN find /opt/llm-scaler/bin -type f ! -name llm-scaler -delete && sed -i "1s|.*|#!$PYTHON|" /opt/llm-scaler/bin/llm-scaler \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/llm-scaler \
    && python3 lock.py spdx pyproject.toml < requirements.lock > /opt/llm-scaler/sbom.spdx.json

FROM ${BASE}
ARG BASE
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-scaler" \
      org.opencontainers.image.description="A KEDA external scaler for LLM inference and GPU jobs that can explain every number it gives." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/llm-scaler /opt/llm-scaler
ENV PATH=/opt/llm-scaler/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/llm-scaler \
    PYTHONSAFEPATH=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /
EXPOSE 6000 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["llm-scaler"]
CMD ["serve"]
