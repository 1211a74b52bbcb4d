"""Runs as OpenTelemetry's traces and metrics; the one wing that needs the extra `otel`."""
