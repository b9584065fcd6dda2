"""`make capacity`: what a service of several replicas can take, and a model of it that is checked by measurements."""
