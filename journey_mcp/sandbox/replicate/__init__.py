"""The fakes of Replicate and of KKIAI, which has the same protocol."""
