# Builds mailjournal and puts it, alone, into a small image that runs as a plain user.
#   docker build -t mailjournal .
FROM rust:1.95-slim-bookworm AS build
# What the Kafka client, which is built in whole, needs: a C compiler and make, and perl for its TLS library.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies first, in a layer that changed sources do not touch: they take most of the time.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --locked --release --bin mailjournal
COPY src src
COPY schemas schemas
# Cargo goes by the time of a file, and the sources may be older than the stand-ins.
RUN touch src/lib.rs src/main.rs && cargo build --locked --release --bin mailjournal

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin mailjournal
COPY --from=build /build/target/release/mailjournal /usr/local/bin/mailjournal
COPY LICENSE /usr/share/doc/mailjournal/LICENSE
USER 10001:10001
# Inside a container the loopback is nobody's: reach the metrics and the health pages from outside.
ENV MAILJOURNAL_TELEMETRY_LISTEN=0.0.0.0:9464
EXPOSE 9464
STOPSIGNAL SIGTERM
ENTRYPOINT ["mailjournal"]
CMD ["run"]
