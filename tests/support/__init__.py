"""What tests share: small models, made-up data and records, toy plugins, slow references."""
