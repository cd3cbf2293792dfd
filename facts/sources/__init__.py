"""Where generated tables come from: PyPI's moto, npm's aws-cdk-lib, AWS's own Terraform provider."""
