"""The court cases that the sandbox serves, and their JSON in the formats of PDPJ."""
