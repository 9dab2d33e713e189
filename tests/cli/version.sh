run attnres --version
