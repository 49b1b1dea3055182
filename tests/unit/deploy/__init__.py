"""Static checks of what is used to install and run the service."""
