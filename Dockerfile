# segmend for CPUs:
#   docker build -t segmend .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" segmend refine --images photos --coarse masks --out refined

# Wheels of what needs a compiler: segmend itself, and the dense CRF.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ libc6-dev
WORKDIR /source
COPY constraints.txt ./
RUN pip wheel --no-deps --wheel-dir /wheels "$(grep '^pydensecrf2==' constraints.txt)"
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY src src
RUN SEGMEND_RELEASE=1 pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
COPY constraints.txt /tmp/
# PyTorch for CPUs comes from an index of its own, gigabytes smaller than the one with CUDA.
RUN grep -E '^torch(vision)?==' /tmp/constraints.txt \
    | xargs pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt --find-links /wheels \
    "segmend[train,offline,crf,formats,video]" \
    && segmend doctor train offline crf formats video
RUN useradd --no-create-home segmend && mkdir /data && chown segmend /data
USER segmend
# Also for another --user, to whom no home belongs.
ENV HOME=/tmp
WORKDIR /data
ENTRYPOINT ["segmend"]
CMD ["--help"]
