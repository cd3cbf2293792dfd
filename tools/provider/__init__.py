"""AWS's own Terraform provider, asked about a plan by its own protocol."""
