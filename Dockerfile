# Trains, translates and serves; docs/docker.md says how. torch is the build that pip finds, or that of the index TORCH_INDEX.
FROM python:3.11-slim

ARG TORCH_INDEX=
ARG EXTRAS=demo,export,serve,video,big,hub

WORKDIR /opt/unpaired
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.10,<2.14"
COPY pyproject.toml README.md LICENSE ./
COPY unpaired ./unpaired
RUN pip install --no-cache-dir ".[$EXTRAS]"

# Not root. Caches go where any user may write, so that --user works, and a user without a name gets one.
RUN useradd --create-home --uid 1000 unpaired && install --directory --owner unpaired /data /runs
ENV HOME=/tmp USER=unpaired
USER unpaired
WORKDIR /work
VOLUME ["/data", "/runs"]
EXPOSE 8000
ENTRYPOINT ["unpaired"]
CMD ["--help"]
