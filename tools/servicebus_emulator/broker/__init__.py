"""What a Service Bus namespace does with messages, without a wire and without a clock."""
