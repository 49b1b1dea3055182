"""Static checks of the files that install and run the service."""
