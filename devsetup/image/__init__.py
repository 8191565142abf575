"""CI images: bases, container engines, what a layer holds, what an image lists.

The build context itself is rendered by `devsetup.render.image`, purely; here are the effects.
"""
