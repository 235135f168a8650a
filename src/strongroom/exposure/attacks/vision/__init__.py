"""Attacks on classifiers of images and tables, one a file, and what they share.

Membership: ``loss_threshold``, ``lira``, ``rmia``, ``label_neighbours``, ``gradient_membership``,
on the pure functions of ``likelihood`` and one pool of ``references`` (``recipe``, ``stack``);
``view`` is what a rung shows. Evasion: ``pgd``, ``apgd``, ``square``, ``rays``, ``transfer``.
Copying: ``cloning``, ``hidden_size``, ``inversion``. Tampering: ``backdoor_screen`` on
``backdoor_statistics``, and ``bit_flip``.
"""
