"""Hashes, trees and signatures. This room knows bytes and frozen values, nothing of chains, models or sockets."""
