# Sound: an Intel HDA card, which PipeWire plays to and records from, for programs of PulseAudio and ALSA too. On the
# host, QEMU plays to PulseAudio, or to PipeWire in its place.
{ config, lib, ... }:
lib.mkIf config.ai-vm.audio {
  services.pipewire = {
    enable = true;
    alsa.enable = true;
    pulse.enable = true;
  };
  # Real-time priority for it, without which sound stutters when the VM is busy.
  security.rtkit.enable = true;

  virtualisation.qemu.options = [
    "-audiodev pa,id=ai-vm-audio"
    "-device intel-hda"
    "-device hda-duplex,audiodev=ai-vm-audio"
  ];
}
