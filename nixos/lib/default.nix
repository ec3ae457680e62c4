# Everything that can be computed without nixpkgs' packages, so that it can be tested by evaluating it.
{ lib }:
{
  lock = import ./lock.nix { inherit lib; };
  manifest = import ./manifest.nix { inherit lib; };
  port = import ./port.nix { inherit lib; };
  share = import ./share.nix { inherit lib; };
  size = import ./size.nix { inherit lib; };
  spec = import ./spec.nix { inherit lib; };
  text = import ./text.nix { inherit lib; };
  user = import ./user.nix { inherit lib; };
}
