"""The tests, and the doubles and builders that several of their folders share."""
