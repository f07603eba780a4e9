"""S3 on disk: LocalStack keeps objects in its own life only; what is written to it is kept here, and put back."""
