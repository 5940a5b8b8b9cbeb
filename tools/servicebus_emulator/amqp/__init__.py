"""AMQP 1.0 as bytes: values, frames, and messages cut where they need no change."""
