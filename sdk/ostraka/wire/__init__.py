"""What programs say to each other: messages, their bytes, and which message may follow which. Transports stand beside it."""
