"""The court cases that the sandbox serves, and their answers in the shapes of PDPJ."""
