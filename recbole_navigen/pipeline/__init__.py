"""The stages that make a NaviGen, in the order of the method: check, identifiers, supervision, write, reinforce."""
