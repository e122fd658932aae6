terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0" # from 6.0 on a resource names its region itself
    }
  }
}
