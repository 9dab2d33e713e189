run attnres --version | sed 's/(.*)/(REVISION)/'
